package listener_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
)

// A socket has the mode and owner that were asked for, whatever the umask, and
// serves; nothing else is left beside it, and it goes when the listener does.
func TestASocketIsWhatTheFileSays(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := listener.Open(config.Listener{Type: "unix", Address: path, SocketMode: 0o660, SocketUser: me.Username, SocketGroup: me.Gid}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- l.Serve(hello) }()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if sys := st.Sys().(*syscall.Stat_t); st.Mode().Perm() != 0o660 || strconv.Itoa(int(sys.Uid)) != me.Uid || strconv.Itoa(int(sys.Gid)) != me.Gid {
		t.Errorf("mode %v, user %d, group %d", st.Mode(), sys.Uid, sys.Gid)
	}
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }, DisableKeepAlives: true}
	if got := body(t, &http.Client{Transport: tr}, "http://socket/"); got != "hello" {
		t.Errorf("answered %q", got)
	}
	if err := l.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A stale socket is replaced; what somebody serves, and what is no socket, is
// not. An unknown owner leaves nothing behind.
func TestASocketTakesNobodysPlace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	serve(t, config.Listener{Type: "unix", Address: path})
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("without socket_mode: %v, %v", st.Mode(), err)
	}
	if _, err := listener.Open(config.Listener{Type: "unix", Address: path}, quiet); err == nil {
		t.Error("took over a socket that is served")
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listener.Open(config.Listener{Type: "unix", Address: file}, quiet); err == nil {
		t.Error("took the place of a file")
	}
	if _, err := listener.Open(config.Listener{Type: "unix", Address: filepath.Join(dir, "t"), SocketUser: "nobody-of-this-name"}, quiet); err == nil {
		t.Error("an unknown owner was accepted")
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	hidden, herr := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || herr != nil || len(left) != 2 || len(hidden) != 0 {
		t.Errorf("in the folder: %v %v", left, hidden)
	}
}
