package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/archive"
)

// rows is a snapshot of given rows, as of entry 42.
type rows []storage.Row

func (s rows) Applied() (uint64, error)   { return 42, nil }
func (s rows) Get([]byte) ([]byte, error) { return nil, nil }
func (s rows) Close() error               { return nil }
func (s rows) Scan(_, _ []byte, f func(key, value []byte) bool) error {
	for _, r := range s {
		if !f(r.Key, r.Value) {
			break
		}
	}
	return nil
}

func row(table string, ns, id byte, rest, value string) storage.Row {
	return storage.Row{Key: append([]byte{table[0], 0, 0, 0, ns, 0, 0, 0, id}, rest...), Value: []byte(value)}
}

var some = rows{row("b", 0, 1, "keyring", "k"), row("v", 0, 2, "a", "1"), row("v", 0, 2, "b", ""), row("v", 3, 2, "c", strings.Repeat("x", 3000))}

func written(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	about := archive.Meta{Version: "1.2.3", Time: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), ClusterID: "id", SealType: "shamir"}
	seal := func(p []byte) ([]byte, error) { return append([]byte("sealed:"), p...), nil }
	if err := archive.Write(&b, some, about, seal); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	got := map[string]string{}
	f, err := archive.Read(bytes.NewReader(written(t)), func(r storage.Row) error {
		got[string(r.Key)] = string(r.Value)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, r := range some {
		want[string(r.Key)] = string(r.Value)
	}
	if !maps.Equal(got, want) {
		t.Errorf("rows are %q", got)
	}
	if f.Rows != 4 || f.Index != 42 || f.Version != "1.2.3" || f.Format != archive.Format {
		t.Errorf("it says of itself %+v", f.Meta)
	}
	ranges := fmt.Sprint(f.Ranges)
	if ranges != "[{0 1 {1 17}} {0 2 {2 21}} {3 2 {1 3010}}]" {
		t.Errorf("by range it holds %s", ranges)
	}
	if string(f.Sealed) != "sealed:"+string(f.Sums) || strings.Count(string(f.Sums), "\n") != 2 {
		t.Errorf("sums %q, sealed %q", f.Sums, f.Sealed)
	}
}

// Vault's tools and tar open it.
func TestTheShapeIsVaults(t *testing.T) {
	zip, err := gzip.NewReader(bytes.NewReader(written(t)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "meta.json state.bin SHA256SUMS SHA256SUMS.sealed" {
		t.Errorf("members are %s", got)
	}
}

// A file that is cut off anywhere is refused, and one in which a bit is another
// unless that bit means nothing: in gzip's head, or where it pads a byte.
func TestEveryDamageIsFound(t *testing.T) {
	good := written(t)
	for i := range good {
		if _, err := archive.Read(bytes.NewReader(good[:i]), nil); !errors.Is(err, archive.ErrDamaged) {
			t.Fatalf("cut off at %d: %v", i, err)
		}
	}
	unpacked := func(file []byte) string {
		zip, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			return err.Error()
		}
		b, err := io.ReadAll(zip)
		return fmt.Sprint(string(b), err)
	}
	refused := 0
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		_, err := archive.Read(bytes.NewReader(bad), nil)
		if err != nil {
			refused++
		} else if unpacked(bad) != unpacked(good) {
			t.Fatalf("byte %d of %d changed: taken", i, len(good))
		}
	}
	if refused < len(good)-20 {
		t.Errorf("only %d of %d were refused", refused, len(good))
	}
}

// Files that were made to deceive are refused with a reason.
func TestOtherFilesAreRefused(t *testing.T) {
	pack := func(members ...string) []byte {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		w := tar.NewWriter(zip)
		for i := 0; i < len(members); i += 2 {
			if err := w.WriteHeader(&tar.Header{Name: members[i], Size: int64(len(members[i+1])), Mode: 0o600}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, members[i+1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(w.Close(), zip.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		file []byte
		is   error
		says string
	}{
		"text":           {[]byte("nonsense"), archive.ErrDamaged, "no gzip"},
		"nothing":        {nil, archive.ErrDamaged, "no gzip"},
		"another tar":    {pack("../../etc/passwd", "root"), archive.ErrNotOurs, "where meta.json belongs"},
		"Vault's":        {pack("meta.json", `{"Version":1,"ID":"x"}`), archive.ErrNotOurs, "another product"},
		"a later format": {pack("meta.json", `{"product":"fastness","format":9,"version":"9.0.0"}`), archive.ErrNotOurs, "use release 9.0.0"},
		"no rows":        {pack("meta.json", `{"product":"fastness","format":1}`), archive.ErrDamaged, "state.bin is missing"},
	} {
		_, err := archive.Read(bytes.NewReader(c.file), nil)
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
