package sys

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A version is noted when it first leads after another.
func TestVersionsAreRemembered(t *testing.T) {
	w := newWorld(t)
	for _, version := range []string{"1.21.0", "1.22.0", "1.22.0"} {
		w.sys.Settings.Version = version
		if _, err := w.sys.Store.Update(context.Background(), func(tx *storage.Tx) error { return w.sys.noteVersion(tx) }); err != nil {
			t.Fatal(err)
		}
	}
	told := w.ask(t, engine.OpList, "version-history", nil, "", "root")
	if strings.Count(told, `"timestamp_installed"`) != 2 || !strings.Contains(told, `"previous_version": "1.21.0"`) ||
		!strings.Contains(told, `"previous_version": null`) {
		t.Errorf("told %s", told)
	}
}

// The rows of a mount lie below its UUID.
func TestRawShowsMounts(t *testing.T) {
	w := newWorld(t)
	if told := w.ask(t, engine.OpList, "raw/logical", nil, "", "root"); !strings.HasPrefix(told, "400") {
		t.Errorf("while raw is off: %s", told)
	}
	w.sys.Settings.RawEnabled = true
	w.ask(t, engine.OpWrite, "mounts/shelf", nil, `{"type":"kv"}`, "root")
	mount := w.ask(t, engine.OpRead, "mounts/shelf", nil, "", "root")
	_, id, _ := strings.Cut(mount, `"uuid": "`)
	id, _, _ = strings.Cut(id, `"`)
	if told := w.ask(t, engine.OpList, "raw/logical", nil, "", "root"); !strings.Contains(told, id+"/") {
		t.Errorf("no %s in %s", id, told)
	}
	row := "raw/logical/" + w.unname(id) + "/a/b"
	if told := w.ask(t, engine.OpWrite, row, nil, `{"value":"text"}`, "root"); told != "nothing\n" {
		t.Fatalf("write: %s", told)
	}
	if told := w.rows(t, "shelf/"); told != "a/\n" {
		t.Errorf("the mount has the rows %q", told)
	}
	if told := w.ask(t, engine.OpRead, row, nil, "", "root"); !strings.Contains(told, `"value": "text"`) {
		t.Errorf("read: %s", told)
	}
	if told := w.ask(t, engine.OpRead, "raw/logical/no-such-mount/a", nil, "", "root"); !strings.HasPrefix(told, "400") {
		t.Errorf("of no mount: %s", told)
	}
}

func TestHostIsReadFromProc(t *testing.T) {
	proc := t.TempDir()
	for name, text := range map[string]string{
		"cpuinfo": "processor\t: 0\nvendor_id\t: V\ncpu MHz\t\t: 2000.5\ncache size\t: 512 KB\nflags\t\t: fpu vme\n\nprocessor\t: 1\n",
		"stat":    "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 0 250 0 0 0 0 0 0 0\nbtime 1700000000\nprocesses 77\n",
		"meminfo": "MemTotal:  1000 kB\nMemFree: 100 kB\nMemAvailable: 250 kB\n",
		"uptime":  "12.5 3.0\n",
	} {
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h := readHost(proc, began)
	if len(h.CPU) != 2 || h.CPU[0].VendorID != "V" || h.CPU[0].MHz != 2000.5 || h.CPU[0].CacheSize != 512 || len(h.CPU[0].Flags) != 2 || h.CPU[1].CPU != 1 {
		t.Errorf("processors %+v", h.CPU)
	}
	if len(h.CPUTimes) != 1 || h.CPUTimes[0].User != 1 || h.CPUTimes[0].System != 2.5 {
		t.Errorf("times %+v", h.CPUTimes)
	}
	if h.Host.BootTime != 1700000000 || h.Host.Procs != 77 || h.Host.Uptime != 12 {
		t.Errorf("host %+v", h.Host)
	}
	if h.Memory.Total != 1000<<10 || h.Memory.Used != 750<<10 || h.Memory.UsedPercent != 75 {
		t.Errorf("memory %+v", h.Memory)
	}
	// A system without it is no error.
	if h := readHost(filepath.Join(proc, "none"), began); h.CPU == nil || h.CPUTimes == nil || h.Disk == nil {
		t.Errorf("without proc: %+v", h)
	}
}

func TestProfilesOfAMoment(t *testing.T) {
	w := newWorld(t)
	for path, status := range map[string]string{"pprof/profile?seconds=-1": "400", "pprof/trace?seconds=601": "400"} {
		path, query, _ := strings.Cut(path, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if told := w.ask(t, engine.OpRead, path, values, "", "root"); !strings.HasPrefix(told, status) {
			t.Errorf("%s: %s", path, told)
		}
	}
}
