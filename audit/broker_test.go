package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// memory is a device's standard output that a test can read and break.
type memory struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	full error
}

func (m *memory) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full != nil {
		return 0, m.full
	}
	return m.buf.Write(p)
}

func (m *memory) breakWith(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full = err
}

func (m *memory) lines() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Split(strings.TrimSuffix(m.buf.String(), "\n"), "\n")
}

func newDevice(t testing.TB, c Config) Device {
	t.Helper()
	if c.Type == "" {
		c.Type, c.Options = "file", map[string]string{"file_path": "stdout"}
	}
	if c.Path == "" {
		c.Path = "test"
	}
	if c.Salt == nil {
		c.Salt = salt
	}
	d, err := NewDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func at(noon time.Time) func() time.Time { return func() time.Time { return noon } }

func entry(id string) *Entry {
	return &Entry{Auth: rootAuth(), Request: Request{ID: id, Operation: "update", Path: "secret/a", ClientToken: "hvs.root", Data: body}}
}

// An exchange is both lines, side by side whoever else writes, each with its own
// error, and with the same hashes.
func TestAnExchangeIsTwoLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	b := NewBroker(nil)
	if err := b.Enable("f", fileDevice(t, name)); err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			e := entry(fmt.Sprint(i))
			e.Refused, e.Error, e.Response = "not yet", "not now", &Response{Data: body}
			if err := b.Exchange(context.Background(), e); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	lines := readLines(t, name)[1:] // the first is the test entry
	if len(lines) != 2*64 {
		t.Fatalf("%d lines", len(lines))
	}
	for i := 0; i < len(lines); i += 2 {
		q, a := lines[i], lines[i+1]
		if q.Type != "request" || a.Type != "response" || q.Request.ID != a.Request.ID || q.Error != "not yet" || a.Error != "not now" {
			t.Fatalf("lines %d and %d: %+v %+v", i, i+1, q, a)
		}
		if h := q.Auth.ClientToken; !strings.HasPrefix(h, "hmac-sha256:") || h != a.Request.ClientToken || h != q.Request.ClientToken {
			t.Fatalf("the token's hashes differ: %q", h)
		}
	}
	if s := b.Stats(); s.LogRequest != 64 || s.LogResponse != 64 {
		t.Errorf("counted %+v", s)
	}
}

type readLine struct {
	Type, Error string
	Auth        struct {
		ClientToken string `json:"client_token"`
	}
	Request struct {
		ID          string
		ClientToken string `json:"client_token"`
	}
}

func readLines(t *testing.T, name string) (lines []readLine) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for text := range bytes.Lines(b) {
		var l readLine
		if err := json.Unmarshal(text, &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

func TestWithoutDevicesEverythingPasses(t *testing.T) {
	b := NewBroker(nil)
	if err := errors.Join(b.Request(context.Background(), entry("1")), b.Response(context.Background(), entry("1"))); err != nil {
		t.Error(err)
	}
}

func TestOneWorkingDeviceIsEnough(t *testing.T) {
	ctx := context.Background()
	good, bad, log := new(memory), new(memory), new(bytes.Buffer)
	logger := slog.New(slog.NewTextHandler(log, nil)) // one, so that it locks the buffer
	b := NewBroker(at(noon))
	for path, to := range map[string]*memory{"good": good, "bad/": bad} {
		if err := b.Enable(path, newDevice(t, Config{Path: path, Stdout: to, Logger: logger})); err != nil {
			t.Fatal(err)
		}
	}
	bad.breakWith(errors.New("disk full"))
	for range 2 {
		if err := b.Request(ctx, entry("r")); err != nil {
			t.Errorf("one device works, yet: %v", err)
		}
	}
	good.breakWith(errors.New("pulled out"))
	err := b.Response(ctx, entry("r"))
	var none *Unwritten
	if !errors.As(err, &none) || len(none.Failures) != 2 {
		t.Fatalf("no device works, yet: %v", err)
	}
	for _, want := range []string{"no audit device could record the response", "audit device bad/: disk full", "audit device good/: pulled out"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if err := errors.Join(b.Disable("bad"), b.Disable("good")); err != nil {
		t.Fatal(err)
	}
	if err := b.Request(ctx, entry("r")); err != nil {
		t.Errorf("no device is left, yet: %v", err)
	}
	if n := strings.Count(log.String(), "audit device fails"); n != 2 {
		t.Errorf("each device's fall is logged once, not %d times:\n%s", n, log)
	}
}

func TestFailuresAreCountedAndRecoveryIsLogged(t *testing.T) {
	ctx := context.Background()
	to, log := new(memory), new(bytes.Buffer)
	b := NewBroker(nil)
	if err := b.Enable("file", newDevice(t, Config{Path: "file", Stdout: to, Logger: slog.New(slog.NewTextHandler(log, nil))})); err != nil {
		t.Fatal(err)
	}
	record := func(fail error, times int) {
		to.breakWith(fail)
		for range times {
			if err := b.Request(ctx, entry("r")); !errors.Is(err, fail) {
				t.Fatalf("got %v, want %v", err, fail)
			}
		}
	}
	record(nil, 1)
	record(errors.New("disk full"), 3)
	record(nil, 1)
	want := map[string]Stats{"file/": {LogRequest: 6, LogRequestFailure: 3}} // the test entry counts
	if diff := cmp.Diff(want, b.DeviceStats()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Stats{LogRequest: 5, LogRequestFailure: 3}, b.Stats()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(log.String(), "audit device works again") || !strings.Contains(log.String(), "lost=3") {
		t.Errorf("recovery is not in the log:\n%s", log)
	}
}

func TestDevicesAreEnabledListedAndDisabled(t *testing.T) {
	b, to := NewBroker(nil), new(memory)
	c := Config{Path: "file", Description: "d", Local: true, Stdout: to}
	if err := b.Enable("file", newDevice(t, c)); err != nil {
		t.Fatal(err)
	}
	if first := to.lines()[0]; !strings.Contains(first, `"path":"sys/audit/test"`) || !json.Valid([]byte(first)) {
		t.Errorf("the first line is no test entry: %s", first)
	}
	if err := b.Enable("file/", newDevice(t, c)); !errors.Is(err, ErrPathInUse) {
		t.Errorf("a second device at the path: %v", err)
	}
	list := b.List()
	if len(list) != 1 || list[0].Path != "file/" || list[0].Description != "d" || !list[0].Local || list[0].Salt != nil {
		t.Errorf("list: %+v", list)
	}
	broken := new(memory)
	broken.breakWith(errors.New("disk full"))
	if err := b.Enable("second", newDevice(t, Config{Stdout: broken})); err == nil || len(b.List()) != 1 {
		t.Errorf("a device that takes no test entry: %v, %v", err, b.List())
	}
	if err := b.Attach("second", newDevice(t, Config{Stdout: broken})); err != nil || len(b.List()) != 2 {
		t.Errorf("a known device counts even while it fails: %v", err)
	}
	if err := b.Disable("none"); err == nil || err.Error() != `unknown audit backend "none/"` {
		t.Errorf("disable of nothing: %v", err)
	}
	if err := b.Disable("file"); err != nil {
		t.Error(err)
	}
	if err := b.Request(context.Background(), entry("r")); err == nil {
		t.Error("only the broken device is left, yet the request passed")
	}
}

func TestHashIsWhatTheLinesSay(t *testing.T) {
	b, to := NewBroker(nil), new(memory)
	if err := b.Enable("file", newDevice(t, Config{Stdout: to})); err != nil {
		t.Fatal(err)
	}
	e := entry("r")
	e.Request.Data = json.RawMessage(`{"a":"caf\u00e9 \ud83d\ude00"}`)
	if err := b.Request(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	hash, err := b.Hash("file", "café 😀")
	if err != nil || !strings.Contains(to.lines()[1], `"a":"`+hash+`"`) {
		t.Errorf("%s, %v is not in %s", hash, err, to.lines()[1])
	}
	var unknown UnknownDevice
	if _, err := b.Hash("none", "x"); !errors.As(err, &unknown) {
		t.Error(err)
	}
	other := newDevice(t, Config{Salt: bytes.Repeat([]byte{7}, 32)})
	if other.Hash("café 😀") == hash {
		t.Error("two salts give one hash")
	}
}

func TestDataThatIsNotJSONRefusesTheRequestAndIsNotQuoted(t *testing.T) {
	b, to := NewBroker(nil), new(memory)
	if err := b.Enable("file", newDevice(t, Config{Stdout: to})); err != nil {
		t.Fatal(err)
	}
	e := entry("r")
	e.Request.Data = json.RawMessage(`{"password":"hunter2"`)
	err := b.Request(context.Background(), e)
	if err == nil || strings.Contains(err.Error(), "hunter2") || len(to.lines()) != 1 {
		t.Errorf("%v; lines %v", err, to.lines())
	}
}

func TestAClosedBrokerRecordsNothingAndRefuses(t *testing.T) {
	b, to := NewBroker(nil), new(memory)
	if err := b.Enable("file", newDevice(t, Config{Stdout: to})); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Close(), b.Close()); err != nil {
		t.Fatal(err)
	}
	if err := b.Request(context.Background(), entry("r")); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := b.Enable("other", newDevice(t, Config{Stdout: to})); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestConcurrentEntriesArriveWhole records from many goroutines while devices
// come and go and the log is rotated: every acknowledged entry is in a file, on
// a line of its own.
func TestConcurrentEntriesArriveWhole(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "audit.log")
	b := NewBroker(nil)
	if err := b.Enable("file", newDevice(t, Config{Type: "file", Options: map[string]string{"file_path": name}})); err != nil {
		t.Fatal(err)
	}
	const callers, each = 8, 50
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				if err := b.Request(context.Background(), entry(fmt.Sprintf("c%d-%d", c, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 10 {
		if err := os.Rename(name, fmt.Sprintf("%s.%d", name, i)); err != nil {
			t.Fatal(err)
		}
		if err := b.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := b.Enable("other", newDevice(t, Config{Stdout: new(memory)})); err != nil {
			t.Fatal(err)
		}
		if err := b.Disable("other"); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	files, _ := filepath.Glob(name + "*")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var l struct{ Request struct{ ID string } }
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%s: %v: %q", f, err, line)
			}
			seen[l.Request.ID] = true
		}
	}
	if len(seen) != callers*each+1 {
		t.Errorf("%d entries in %d files, want %d", len(seen), len(files), callers*each+1)
	}
}

func TestEncodingALineAllocatesNothing(t *testing.T) {
	_, q, a := pair(t)
	a.Time, q.Time = noon, noon
	e := &encoder{hasher: NewHasher(salt), buf: make([]byte, 0, 16<<10)}
	allocs := testing.AllocsPerRun(200, func() {
		e.buf = e.buf[:0]
		if err := errors.Join(e.entry(KindRequest, q), e.entry(KindResponse, a)); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a request's and a response's line, want 0", allocs)
	}
}

func pair(t testing.TB) (b *Broker, q, a *Entry) {
	b = NewBroker(nil)
	name := filepath.Join(t.TempDir(), "audit.log")
	if err := b.Enable("file", newDevice(t, Config{Type: "file", Options: map[string]string{"file_path": name}})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	q = &Entry{Auth: rootAuth(), Request: kvRequest("update", "secret/data/a", string(body))}
	answer := *q
	answer.Response = kvResponse(`{"created_time":"2026-01-02T12:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}`)
	return b, q, &answer
}

func BenchmarkPair(b *testing.B) {
	br, q, a := pair(b)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := br.Request(ctx, q); err != nil {
			b.Fatal(err)
		}
		if err := br.Response(ctx, a); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPairParallel(b *testing.B) {
	br, q, a := pair(b)
	ctx := context.Background()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		q, a := *q, *a
		for pb.Next() {
			if err := errors.Join(br.Request(ctx, &q), br.Response(ctx, &a)); err != nil {
				b.Error(err)
			}
		}
	})
}
