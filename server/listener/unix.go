package listener

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/fastness-dev/fastness/server/config"
)

// listenUnix makes the socket inside a private directory and moves it into place
// with its owner and mode set, so that at no moment anyone else may connect,
// whatever the umask. A socket that nobody listens on any more is replaced.
func listenUnix(conf config.Listener) (_ net.Listener, remove func(), err error) {
	if err := replaceable(conf.Address); err != nil {
		return nil, nil, err
	}
	private, err := os.MkdirTemp(filepath.Dir(conf.Address), ".s")
	if err != nil {
		return nil, nil, fmt.Errorf("listen on unix socket: %w", err)
	}
	defer os.RemoveAll(private)
	path := filepath.Join(private, "s")
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, nil, fmt.Errorf("listen on unix socket: %w", err)
	}
	if err := permit(path, conf); err != nil {
		return nil, nil, errors.Join(err, socket.Close())
	}
	if err := os.Rename(path, conf.Address); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen on unix socket: %w", err), socket.Close())
	}
	ours, err := os.Lstat(conf.Address)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("listen on unix socket: %w", err), socket.Close())
	}
	return socket, func() {
		if now, err := os.Lstat(conf.Address); err == nil && os.SameFile(now, ours) {
			_ = os.Remove(conf.Address) // a stale socket is replaced at the next start
		}
	}, nil
}

// replaceable refuses to take the place of anything but a dead socket.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen on unix socket: %w", err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("listen on unix socket: %s exists and is not a socket: move it away or choose another address", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("listen on unix socket: a server is listening on %s: stop it or choose another address", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen on unix socket: is %s in use: %w", path, err)
	}
	return nil
}

func permit(path string, conf config.Listener) error {
	uid, err := lookup(conf.SocketUser, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return fmt.Errorf("socket_user: %w", err)
	}
	gid, err := lookup(conf.SocketGroup, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	if err != nil {
		return fmt.Errorf("socket_group: %w", err)
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Chown(path, uid, gid); err != nil {
			return fmt.Errorf("set owner of unix socket: %w", err)
		}
	}
	mode := os.FileMode(conf.SocketMode)
	if mode == 0 {
		mode = 0o600
	}
	if err := os.Chmod(path, mode.Perm()); err != nil {
		return fmt.Errorf("set mode of unix socket: %w", err)
	}
	return nil
}

// lookup turns a name or number into an id; "" is -1, which chown leaves alone.
func lookup(name string, find func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if id, err := strconv.Atoi(name); err == nil && id >= 0 {
		return id, nil
	}
	id, err := find(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(id)
}
