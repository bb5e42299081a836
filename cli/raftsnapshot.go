package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/storage/archive"
)

// operator raft snapshot save, restore, inspect.

const snapshotPath = "sys/storage/raft/snapshot"

// bindSnapshotSave writes beside the file first: what has its name is a whole
// snapshot, which was read back as it came.
func bindSnapshotSave(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		from, err := cl.Stream(c.ctx, client.Request{Method: http.MethodGet, Path: snapshotPath}, nil, 0)
		if err != nil {
			return remote("Error taking the snapshot: %w", err)
		}
		defer from.Close()
		if err := keepSnapshot(from, c.args[0]); err != nil {
			return remote("Error taking the snapshot: %w", err)
		}
		return nil
	}
}

func keepSnapshot(from io.Reader, name string) (err error) {
	to, err := os.CreateTemp(filepath.Dir(name), ".snapshot-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(to.Name())
		}
	}()
	if _, err = archive.Read(io.TeeReader(from, to), nil); err == nil {
		_, err = io.Copy(to, from)
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	return os.Rename(to.Name(), name)
}

func bindSnapshotRestore(f *flags) action {
	force := f.toggle("force", false, "Restore a snapshot of another cluster, whose unseal keys the server then needs.")
	keys := f.list("unseal-key", "`Keys` of the snapshot's cluster, to restore into a server that is not initialised; - reads them from standard input, one on a line.")
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		q := client.Request{Method: http.MethodPost, Path: snapshotPath, Header: http.Header{"Content-Type": {"application/gzip"}}}
		switch {
		case len(*keys) > 0:
			given, err := c.unsealKeys(*keys)
			if err != nil {
				return local("Error reading the unseal keys: %w", err)
			}
			q.Path, q.NoToken = q.Path+"-adopt", true
			q.Header["X-Fastness-Unseal-Key"] = given
		case *force:
			q.Path += "-force"
		}
		file, err := os.Open(c.args[0])
		if err != nil {
			return local("Error opening the snapshot: %w", err)
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return local("Error opening the snapshot: %w", err)
		}
		answer, err := cl.Stream(c.ctx, q, file, info.Size())
		if err != nil {
			return remote("Error restoring the snapshot: %w", err)
		}
		return answer.Close()
	}
}

// unsealKeys are keys as flags give them.
func (c *call) unsealKeys(given []string) ([]string, error) {
	if !slices.Equal(given, []string{"-"}) {
		return given, nil
	}
	text, err := io.ReadAll(io.LimitReader(c.ui.stdin, 64<<10))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(bytes.TrimSpace(text))), nil
}

func bindSnapshotInspect(f *flags) action {
	var (
		details = f.toggle("details", true, "Show what lies in which range of the store.")
		depth   = f.number("depth", 2, "1 sums up namespaces, 2 shows each range.")
		filter  = f.text("filter", "", "Show only the ranges whose `name` contains this.")
	)
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		file, err := os.Open(c.args[0])
		if err != nil {
			return local("Error opening the snapshot: %w", err)
		}
		defer file.Close()
		found, err := archive.Read(file, nil)
		if err != nil {
			return remote("Error inspecting the snapshot: %w", err)
		}
		var ranges []archive.Named
		if *details {
			ranges = archive.Names(found.Ranges, *depth > 1, *filter)
		}
		if !c.ui.isTable() {
			return c.ui.structured(inspected{found.Meta, ranges})
		}
		m := found.Meta
		c.ui.table([][]string{{"Key", "Value"}, {"Cluster ID", m.ClusterID}, {"Cluster Name", m.ClusterName}, {"Seal Type", m.SealType},
			{"Time", m.Time.Format(time.RFC3339)}, {"Index", strconv.FormatUint(m.Index, 10)}, {"Rows", strconv.FormatUint(m.Rows, 10)},
			{"Size", strconv.FormatUint(m.Bytes, 10)}, {"SHA-256", m.StateSHA256}, {"Written By", m.Version}, {"Format", strconv.Itoa(m.Format)}})
		if *details {
			rows := [][]string{{"Key Name", "Count", "Size"}}
			for _, r := range ranges {
				rows = append(rows, []string{r.Name, strconv.FormatUint(r.Rows, 10), strconv.FormatUint(r.Bytes, 10)})
			}
			c.ui.out("")
			c.ui.table(rows)
		}
		c.ui.out(fmt.Sprintf("\nAll %d rows are as they were written. Whether they open is checked by a restore.", m.Rows))
		return nil
	}
}

type inspected struct {
	archive.Meta
	Ranges []archive.Named `json:"ranges"`
}
