package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// A Config says what a device is made of, as sys/audit stores it.
type Config struct {
	Path        string            `json:"path"` // name, with a trailing slash
	Type        string            `json:"type"`
	Description string            `json:"description"`
	Options     map[string]string `json:"options"`
	Local       bool              `json:"local"`
	Salt        []byte            `json:"salt"` // 32 random bytes: the key of the device's HMACs
}

// A Device takes lines. Those made by NewDevice are safe for concurrent use.
type Device interface {
	// Write hands the entry to the operating system as one line.
	Write(k Kind, x *Entry) error
	// Reload opens the destination anew: a log was rotated.
	Reload() error
	// Hash is the HMAC that a value has in this device's lines.
	Hash(value string) string
	Close() error
}

// writeTimeout bounds a write to what may block: a pipe nobody reads.
const writeTimeout = 5 * time.Second

// NewDevice opens a device. Its errors are the caller's: they name an option.
func NewDevice(c Config) (Device, error) {
	if c.Type != "file" {
		return nil, fmt.Errorf("unknown backend type: %q: this build has file", c.Type)
	}
	d := &fileDevice{format: format{prefix: c.Options["prefix"]}, salt: c.Salt, path: c.Options["file_path"], mode: 0o600}
	if d.path == "" {
		d.path = c.Options["path"]
	}
	if d.path == "" {
		return nil, errors.New("file_path is required")
	}
	for name, to := range map[string]*bool{"log_raw": &d.raw, "elide_list_responses": &d.elideLists} {
		if err := parseBool(c.Options, name, to); err != nil {
			return nil, err
		}
	}
	hide := true
	if err := parseBool(c.Options, "hmac_accessor", &hide); err != nil {
		return nil, err
	}
	d.plainAccessor = !hide
	if f := c.Options["format"]; f != "" && f != "json" {
		return nil, fmt.Errorf("unknown format type %q: this build writes json", f)
	}
	if m := c.Options["mode"]; m != "" {
		n, err := strconv.ParseUint(m, 8, 32)
		if err != nil || n > 0o777 || n&0o111 != 0 {
			return nil, errors.New("mode must be octal permission bits without execution, such as 0600")
		}
		d.mode, d.keepMode = fs.FileMode(n), n == 0
	}
	d.encoders.New = func() any { return &encoder{hasher: NewHasher(d.salt), format: d.format} }
	return d, d.open()
}

func parseBool(options map[string]string, name string, to *bool) error {
	s, ok := options[name]
	if !ok || s == "" {
		return nil
	}
	v, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%s must be true or false", name)
	}
	*to = v
	return nil
}

// A fileDevice writes to a file, to standard output, or nowhere.
type fileDevice struct {
	format
	path     string
	mode     fs.FileMode
	keepMode bool
	salt     []byte
	encoders sync.Pool

	mu      sync.Mutex
	out     io.WriteCloser
	blocks  bool          // out may block: writes run beside the caller, with a time limit
	stuck   chan struct{} // closed when the write that did not finish in time has
	partial bool          // the last write ended inside a line
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Close() error                { return nil }

type stdout struct{}

func (stdout) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdout) Close() error                { return nil }

// open sets out. The mutex is held, or the device is new.
func (d *fileDevice) open() error {
	switch d.path {
	case "discard":
		d.out = nowhere{}
		return nil
	case "stdout":
		d.out, d.blocks = stdout{}, true
		return nil
	}
	if !filepath.IsAbs(d.path) && filepath.Clean(d.path) != d.path {
		return errors.New("file_path must be a clean path")
	}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return fmt.Errorf("file_path: make its directory: %w", err)
	}
	mode := d.mode
	if d.keepMode {
		mode = 0o600
	}
	st, err := os.Stat(d.path)
	if err == nil && st.IsDir() {
		return errors.New("file_path is a directory")
	}
	f, err := os.OpenFile(d.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("file_path: %w", err)
	}
	if st, err = f.Stat(); err == nil && st.Mode().IsRegular() && !d.keepMode {
		err = f.Chmod(d.mode) // whatever the umask made of it
	}
	if err != nil {
		return errors.Join(fmt.Errorf("file_path: %w", err), f.Close())
	}
	d.blocks = !st.Mode().IsRegular()
	d.out = f
	return nil
}

func (d *fileDevice) Write(k Kind, x *Entry) error {
	if d.path == "discard" {
		return nil
	}
	e := d.encoders.Get().(*encoder)
	defer func() { e.buf = e.buf[:0]; d.encoders.Put(e) }()
	if err := e.line(k, x); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.out == nil {
		return ErrClosed
	}
	if d.blocks {
		return d.writeBeside(append([]byte(nil), e.buf...))
	}
	return d.write(d.out, e.buf)
}

// write writes a line, on a line of its own.
func (d *fileDevice) write(out io.Writer, line []byte) error {
	if d.partial {
		if _, err := out.Write([]byte{'\n'}); err != nil {
			return err
		}
		d.partial = false
	}
	n, err := out.Write(line)
	d.partial = err != nil && n > 0
	return err
}

// writeBeside writes in a goroutine and gives up on it in time. Until that
// write is over, others are refused at once.
func (d *fileDevice) writeBeside(line []byte) error {
	if d.stuck != nil {
		select {
		case <-d.stuck:
			d.stuck = nil
		default:
			return ErrStalled
		}
	}
	result, over := make(chan error, 1), make(chan struct{})
	out := d.out
	go func() {
		_, err := out.Write(line)
		result <- err
		close(over)
	}()
	limit := time.NewTimer(writeTimeout)
	defer limit.Stop()
	select {
	case err := <-result:
		return err
	case <-limit.C:
		d.stuck = over
		return ErrStalled
	}
}

func (d *fileDevice) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.out
	if err := d.open(); err != nil {
		d.out = old // better the rotated file than none
		return err
	}
	d.partial = false
	if old != nil {
		return old.Close()
	}
	return nil
}

func (d *fileDevice) Hash(value string) string {
	return string(NewHasher(d.salt).AppendString(nil, value))
}

func (d *fileDevice) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.out
	d.out = nil
	if out == nil {
		return nil
	}
	return out.Close()
}
