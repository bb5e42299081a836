package audit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestConfigErrorsNameTheField(t *testing.T) {
	for _, tt := range []struct {
		c    Config
		want string
	}{
		{Config{Path: "/", Type: "file", Salt: salt}, "path is required"},
		{Config{Path: "a", Type: "file"}, "salt must have 32 bytes or more"},
		{Config{Path: "a", Type: "nosuch", Salt: salt, Options: map[string]string{"x": "y"}}, `type "nosuch" is not file, socket or syslog`},
		{Config{Type: "file", Options: map[string]string{}}, "file_path is required"},
		{fileConfig("file_path", "/a\x00b"), "file_path must not contain NUL"},
		{fileConfig("mode", "0700"), "mode must not make the log executable"},
		{fileConfig("mode", "0601"), "mode must not make the log executable"},
		{fileConfig("mode", "4600"), "mode must not make the log executable"},
		{fileConfig("mode", "rw"), "mode must be octal digits, such as 0600"},
		{fileConfig("format", "jsonx"), `format must be "json"`},
		{fileConfig("log_raw", "maybe"), "log_raw must be true or false"},
		{fileConfig("hmac_accessor", "2"), "hmac_accessor must be true or false"},
		{fileConfig("prefix", "#!/bin/sh"), "prefix must be at most 256 bytes of printable text"},
		{fileConfig("prefix", "a\nb"), "prefix must be at most 256 bytes of printable text"},
		{fileConfig("filter", "x"), "filter is not an option of this device"},
		{Config{Type: "socket"}, "address is required"},
		{Config{Type: "socket", Options: map[string]string{"address": "a", "socket_type": "carrier"}}, "socket_type must be tcp, udp or unix"},
		{Config{Type: "socket", Options: map[string]string{"address": "a", "write_timeout": "-1"}}, "write_timeout must be a duration"},
		{Config{Type: "syslog", Options: map[string]string{"facility": "X"}}, "facility must be a syslog facility"},
	} {
		if tt.c.Path == "" {
			tt.c.Path, tt.c.Salt = "a", salt
		}
		if _, err := NewDevice(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %v: %v, want %q", tt.c.Type, tt.c.Options, err, tt.want)
		}
	}
}

func fileConfig(option, value string) Config {
	return Config{Type: "file", Options: map[string]string{"file_path": "discard", option: value}}
}

func fileDevice(t *testing.T, name string, options ...string) Device {
	c := Config{Type: "file", Options: map[string]string{"file_path": name}}
	for i := 0; i < len(options); i += 2 {
		c.Options[options[i]] = options[i+1]
	}
	d := newDevice(t, c)
	t.Cleanup(func() { d.Close() })
	return d
}

func write(d Device, id string) error {
	result := make(chan error, 1)
	d.Submit(KindRequest, entry(id), result)
	return <-result
}

func mustWrite(t *testing.T, d Device, id string) {
	t.Helper()
	if err := write(d, id); err != nil {
		t.Fatal(err)
	}
}

// ids lists the request ids of a log, and "?" for a line that is none.
func ids(t *testing.T, name string) (list []string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, rest, ok := strings.Cut(line, `"request":{"id":"`)
		id, _, _ := strings.Cut(rest, `"`)
		if !ok || !strings.HasPrefix(line, "{") || !strings.HasSuffix(line, "}\n") {
			id = "?"
		}
		list = append(list, id)
	}
	return list
}

func TestModesHoldWhateverTheUmask(t *testing.T) {
	for _, tt := range []struct {
		name, option string
		before, want os.FileMode
	}{
		{"a new file is private", "", 0, 0o600},
		{"a new file as asked, though the umask says less", "0666", 0, 0o666},
		{"a wide file is narrowed", "", 0o666, 0o600},
		{"0000 keeps the mode", "0000", 0o640, 0o640},
		{"0000 makes a private file", "0000", 0, 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "audit.log")
			if tt.before != 0 {
				if err := os.WriteFile(name, nil, tt.before); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(name, tt.before); err != nil {
					t.Fatal(err)
				}
			}
			mustWrite(t, fileDevice(t, name, "mode", tt.option), "1")
			info, err := os.Stat(name)
			if err != nil || info.Mode() != tt.want {
				t.Errorf("mode %v, %v; want %v", info.Mode(), err, tt.want)
			}
		})
	}
}

func TestWhatIsNoLogIsNotWrittenTo(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "plugin")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		dir:                              "file_path must name a file",
		script:                           "file_path is an executable file",
		filepath.Join(dir, "none/a.log"): "create its directory first",
		filepath.Join(script, "a.log"):   "not a directory",
	} {
		if err := write(fileDevice(t, name), "1"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if text, _ := os.ReadFile(script); string(text) != "#!/bin/sh\n" {
		t.Errorf("the script became %q", text)
	}
}

func TestFilesStayInTheirFolders(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	logs := filepath.Join(dir, "logs")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"file": filepath.Join(outside, "new.log"), "folder": outside, "inside": filepath.Join(logs, "real.log")} {
		if err := os.Symlink(to, filepath.Join(logs, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(logs, "real.log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{
		"logs/a.log": true, "logs/inside": true, "logs/../a.log": false, "logs": false, "logsmore": false,
		"logs/file": false, "logs/folder/a.log": false,
	} {
		c := Config{Type: "file", Dirs: []string{logs}, Options: map[string]string{"file_path": dir + "/" + name}}
		d := newDevice(t, c)
		if err := write(d, "1"); (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		d.Close()
	}
	if list, _ := os.ReadDir(outside); len(list) != 0 {
		t.Errorf("outside: %v", list)
	}
}

func TestRotationMovesToTheNewFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	d := fileDevice(t, name)
	mustWrite(t, d, "1")
	if err := os.Rename(name, name+".1"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, "2") // before the signal the old file is still the log
	if err := d.Reload(); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, "3")
	if a, b := fmt.Sprint(ids(t, name+".1")), fmt.Sprint(ids(t, name)); a != "[1 2]" || b != "[3]" {
		t.Errorf("old %s, new %s", a, b)
	}
}

func TestAReloadThatFailsKeepsTheOldFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := fileDevice(t, filepath.Join(dir, "audit.log"))
	mustWrite(t, d, "1")
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := d.Reload(); err == nil {
		t.Error("there is nothing to open, yet reload says nothing")
	}
	mustWrite(t, d, "2")
	if got := fmt.Sprint(ids(t, dir+".old/audit.log")); got != "[1 2]" {
		t.Error(got)
	}
}

// look has the device see, at its next write, whether its file has a name.
func look(d Device) { d.(*device).writer.sink.(*file).checked = time.Time{} }

func TestADeletedLogIsMadeAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	name := filepath.Join(dir, "audit.log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := fileDevice(t, name)
	mustWrite(t, d, "1")
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	look(d)
	mustWrite(t, d, "2")
	if got := fmt.Sprint(ids(t, name)); got != "[2]" {
		t.Error(got)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	look(d)
	if err := write(d, "3"); err == nil {
		t.Error("the folder is gone, yet the entry was taken")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, "4")
}

func TestATornLineSpoilsNoOther(t *testing.T) {
	name := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(name, []byte(`{"time":"2026-`), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, fileDevice(t, name), "1")
	if got := fmt.Sprint(ids(t, name)); got != "[? 1]" {
		t.Error(got)
	}
}

func TestAPipeNeverHangsACaller(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	d := newDevice(t, Config{Type: "file", Timeout: 20 * time.Millisecond, Options: map[string]string{"file_path": name}})
	defer d.Close()
	if err := write(d, "1"); err == nil || !strings.Contains(err.Error(), "nothing reads from this pipe") {
		t.Errorf("without a reader: %v", err)
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	good := new(memory)
	b := NewBroker(nil)
	for path, d := range map[string]Device{"pipe": d, "good": newDevice(t, Config{Stdout: good})} {
		if err := b.Attach(path, d); err != nil {
			t.Fatal(err)
		}
	}
	for err == nil { // until the pipe is full, since nobody reads
		err = write(d, "2")
	}
	if err := b.Request(context.Background(), entry("3")); err != nil {
		t.Errorf("the pipe is stuck and the other device works, yet: %v", err)
	}
}

func TestSocketsGetLines(t *testing.T) {
	for _, network := range []string{"tcp", "unix", "udp"} {
		t.Run(network, func(t *testing.T) {
			address, lines := listen(t, network)
			d := newDevice(t, Config{Type: "socket", Options: map[string]string{"address": address, "socket_type": network}})
			defer d.Close()
			for _, id := range []string{"1", "2"} {
				mustWrite(t, d, id)
				if line := <-lines; !strings.Contains(line, `"request":{"id":"`+id+`"`) || !strings.HasSuffix(line, "}\n") {
					t.Errorf("got %q", line)
				}
			}
		})
	}
}

// listen returns an address and the lines that arrive there.
func listen(t *testing.T, network string) (string, <-chan string) {
	lines := make(chan string, 10)
	address := map[string]string{"tcp": "127.0.0.1:0", "udp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")}[network]
	if network == "udp" {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 64<<10)
			for n, _, err := c.ReadFrom(buf); err == nil; n, _, err = c.ReadFrom(buf) {
				lines <- string(buf[:n])
			}
		}()
		return c.LocalAddr().String(), lines
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			r := bufio.NewReader(c)
			for line, err := r.ReadString('\n'); err == nil; line, err = r.ReadString('\n') {
				lines <- line
			}
		}
	}()
	return l.Addr().String(), lines
}

// pipeEnd is a connection that a test can cut.
type pipeEnd struct {
	net.Conn
	got bytes.Buffer
	cut bool
}

func (p *pipeEnd) Write(b []byte) (int, error) {
	if p.cut {
		return 0, syscall.EPIPE
	}
	return p.got.Write(b)
}
func (p *pipeEnd) SetWriteDeadline(time.Time) error { return nil }
func (p *pipeEnd) Close() error                     { return nil }

func TestASocketThatBrokeIsDialledAgain(t *testing.T) {
	var conns []*pipeEnd
	var refuse error
	d := newDevice(t, Config{
		Type: "socket", Options: map[string]string{"address": "siem:514", "write_timeout": "3"},
		Dial: func(_ context.Context, network, address string) (net.Conn, error) {
			if network != "tcp" || address != "siem:514" {
				t.Errorf("dialled %s %s", network, address)
			}
			conns = append(conns, new(pipeEnd))
			return conns[len(conns)-1], refuse
		},
	})
	defer d.Close()
	mustWrite(t, d, "1")
	conns[0].cut = true
	mustWrite(t, d, "2")
	if len(conns) != 2 || strings.Count(conns[1].got.String(), "\n") != 1 {
		t.Errorf("%d connections", len(conns))
	}
	conns[1].cut, refuse = true, syscall.ECONNREFUSED
	if err := write(d, "3"); err == nil || !strings.Contains(err.Error(), "audit device test/: dial: connection refused") {
		t.Errorf("nobody listens: %v", err)
	}
	refuse = nil
	mustWrite(t, d, "4")
}
