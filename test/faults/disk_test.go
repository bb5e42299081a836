package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/raft"
)

const mega = 1 << 20

// A volume is a small file system of its own.
type volume struct {
	t   *testing.T
	dir string
}

// mount makes a volume. Who may not runs the test again where it may, and gets
// nil: the outcome is that run's.
func mount(t *testing.T, size int) *volume {
	t.Helper()
	if os.Getuid() != 0 {
		again(t)
		return nil
	}
	v := &volume{t, t.TempDir()}
	if err := unix.Mount("tmpfs", v.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		t.Fatalf("mount a small file system (needs CAP_SYS_ADMIN): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(v.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return v
}

func again(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in a user namespace of its own: %v\n%s", err, out)
	}
	t.Logf("passed in a user namespace of its own:\n%s", out)
}

// leave fills the volume up to a number of free bytes.
func (v *volume) leave(free int64) {
	v.t.Helper()
	name := filepath.Join(v.dir, "ballast")
	if err := os.RemoveAll(name); err != nil {
		v.t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(v.dir, &st); err != nil {
		v.t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		v.t.Fatal(err)
	}
	defer f.Close()
	if size := int64(st.Bavail)*st.Bsize - free; size > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, size); err != nil {
			v.t.Fatal(err)
		}
	}
}

const fullAnswer = "answered 507: "

// A disk that fills up refuses first what adds, then every write; it never
// refuses a read. When there is space again, writes go on by themselves. A
// server that is started on a full disk says so, and starts with little space.
func TestFullDisk(t *testing.T) {
	v := mount(t, 640*mega)
	if v == nil {
		return
	}
	w := begin(t, program, v.dir)
	var token struct {
		Auth struct {
			ClientToken string `json:"client_token"`
		}
	}
	w.must(w.server.Do(w.ctx, http.MethodPost, "/v1/auth/token/create", map[string]any{}, &token))

	v.leave(250 * mega)
	w.full(w.put(1000))
	w.must(w.server.Do(w.ctx, http.MethodPost, "/v1/auth/token/revoke", map[string]any{"token": token.Auth.ClientToken}, nil))
	w.written--
	w.must(w.server.Do(w.ctx, http.MethodDelete, fmt.Sprintf("/v1/v2/metadata/s%d", w.written), nil, nil))
	w.whole()

	v.leave(10 * mega)
	w.full(w.put(1000))
	w.full(w.server.Do(w.ctx, http.MethodDelete, "/v1/v2/metadata/s0", nil, nil))
	w.whole()

	v.leave(400 * mega)
	w.must(w.put(w.written))
	w.written++

	v.leave(10 * mega)
	w.server.Kill()
	// What the rows lack of the log needs space, and so does unsealing. They may
	// lack nothing, or give up their reserve.
	if err := w.server.Run(w.ctx); err == nil {
		if err := w.server.Unseal(w.ctx); err != nil {
			w.full(err)
		} else {
			w.whole()
		}
		w.server.Kill()
	} else if !strings.Contains(err.Error(), "the server ended") || !strings.Contains(err.Error(), "storage is full: free disk space") {
		w.Errorf("a start on a full disk: %v", err)
	}
	v.leave(250 * mega) // little space is enough to read; the log lays aside 64 MB of it
	w.must(w.server.Run(w.ctx))
	w.must(w.server.Unseal(w.ctx))
	w.whole()
	w.full(w.put(1000))
	w.server.Kill()
	v.leave(400 * mega)
	w.restarts()
	w.says(0)
}

func (w *world) full(err error) {
	w.Helper()
	if err == nil || !strings.Contains(err.Error(), fullAnswer) || !strings.Contains(err.Error(), "free disk space") {
		w.Errorf("on a full disk: %v", err)
	}
}

// The log meets the end of the disk itself, with no watch of free space before
// it: it refuses, and goes on once there is space.
func TestLogWithoutSpace(t *testing.T) {
	v := mount(t, 150*mega)
	if v == nil {
		return
	}
	l, m := v.log()
	entry := make([]byte, mega)
	acked, n := 0, 0
	for full := false; !full; n++ {
		entry[0] = byte(n)
		fate, err := l.Propose(context.Background(), l.Leads(), entry)
		if errors.Is(err, storage.ErrFull) {
			break
		} else if err != nil || n > 200 {
			t.Fatalf("entry %d: %v", n, err)
		}
		if full = !m.wait(byte(n), fate.Decided()); !full {
			acked++
		}
	}
	if !l.Full() || l.Err() != nil || acked < 60 {
		t.Fatalf("full %t after %d entries, failed: %v", l.Full(), acked, l.Err())
	}
	if err := unix.Mount("tmpfs", v.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d,mode=700", 400*mega)); err != nil {
		t.Fatal(err)
	}
	entry[0] = 255
	for err := storage.ErrFull; err != nil; {
		_, err = l.Propose(context.Background(), l.Leads(), entry)
	}
	m.wait(255, nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, after := v.log()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The one in flight came or did not; all others are there, in order.
	for _, m := range []*machine{m, after} {
		if k := len(m.seen); k < acked+1 || k > acked+2 || m.seen[k-1] != 255 || m.seen[acked-1] != byte(acked-1) {
			t.Errorf("%d entries were acknowledged and one after them, there are %d: %v", acked, k, m.seen)
		}
	}
}

// A machine is what the log's entries are applied to: it keeps their first byte.
type machine struct {
	seen    []byte
	applied chan byte
}

// wait returns once an entry is applied, or says that it was lost before.
func (m *machine) wait(want byte, lost <-chan struct{}) bool {
	for {
		select {
		case got := <-m.applied:
			if got == want {
				return true
			}
		case <-lost:
			return false
		}
	}
}

func (v *volume) log() (*raft.Log, *machine) {
	v.t.Helper()
	m := &machine{applied: make(chan byte, 1000)}
	l, err := raft.Open(raft.Options{Dir: filepath.Join(v.dir, "log"), FreeSpace: func() (uint64, error) { return 1 << 40, nil }})
	if err == nil {
		err = l.Start(0, storage.Machine{Apply: func(_ uint64, entry []byte) error {
			m.seen = append(m.seen, entry[0])
			m.applied <- entry[0]
			return nil
		}})
	}
	if err != nil {
		v.t.Fatal(err)
	}
	return l, m
}
