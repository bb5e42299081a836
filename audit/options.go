package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options reads a device's options, gathering what is wrong with them.
type options struct {
	from map[string]string
	used map[string]bool
	bad  []error
}

func (o *options) get(name string) string {
	o.used[name] = true
	return o.from[name]
}

func (o *options) refuse(name, format string, args ...any) {
	o.bad = append(o.bad, fmt.Errorf("%s %w", name, fmt.Errorf(format, args...)))
}

// err reports the bad options, and those that nobody asked for: to ignore a
// filter, say, would log what its owner means to keep out.
func (o *options) err() error {
	for name := range o.from {
		if !o.used[name] {
			o.refuse(name, "is not an option of this device")
		}
	}
	slices.SortFunc(o.bad, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(o.bad...)
}

func (o *options) boolean(name string, otherwise bool) bool {
	v := o.get(name)
	if v == "" {
		return otherwise
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		o.refuse(name, "must be true or false")
	}
	return b
}

func (o *options) duration(name string, otherwise time.Duration) time.Duration {
	v := o.get(name)
	if v == "" {
		return otherwise
	}
	if n, err := strconv.Atoi(v); err == nil {
		v = strconv.Itoa(n) + "s"
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 || d > time.Minute {
		o.refuse(name, "must be a duration of up to one minute, such as 2s")
		return otherwise
	}
	return d
}

func (o *options) format() format {
	if f := o.get("format"); f != "" && f != "json" {
		o.refuse("format", `must be "json"`)
	}
	return format{
		prefix:        o.prefix(),
		raw:           o.boolean("log_raw", false),
		plainAccessor: !o.boolean("hmac_accessor", true),
		elideLists:    o.boolean("elide_list_responses", false),
	}
}

// prefix takes text that cannot turn a log into a script or forge a line.
func (o *options) prefix() string {
	p := o.get("prefix")
	control := func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }
	if len(p) > 256 || strings.ContainsFunc(p, control) || strings.HasPrefix(p, "#!") {
		o.refuse("prefix", `must be at most 256 bytes of printable text and not begin with "#!"`)
	}
	return p
}

func (o *options) sink(c Config) (sink, time.Duration) {
	switch c.Type {
	case "file":
		return o.file(c), c.Timeout
	case "socket":
		timeout := o.duration("write_timeout", 2*time.Second)
		// The watchdog comes after the socket's own deadline, whose error says more.
		return o.socket(c, timeout), timeout + timeout/4
	case "syslog":
		return o.syslog(), c.Timeout
	}
	o.used = make(map[string]bool)
	for name := range o.from {
		o.used[name] = true
	}
	o.refuse("type", "%q is not file, socket or syslog", c.Type)
	return nil, c.Timeout
}

func (o *options) file(c Config) sink {
	mode := o.mode()
	path := o.get("file_path")
	if alias := o.get("path"); path == "" { // the older name
		path = alias
	}
	switch path {
	case "":
		o.refuse("file_path", "is required")
		return nil
	case "stdout":
		return stream{c.Stdout}
	case "discard":
		return stream{io.Discard}
	}
	if strings.ContainsRune(path, 0) {
		o.refuse("file_path", "must not contain NUL")
		return nil
	}
	path, err := filepath.Abs(path)
	if err != nil {
		o.refuse("file_path", "has no absolute form: %v", err)
	}
	return &file{path: path, mode: mode, dirs: c.Dirs, timeout: c.Timeout}
}

// mode reads the file's permissions; zero keeps those that the file has.
func (o *options) mode() fs.FileMode {
	v := o.get("mode")
	if v == "" {
		return 0o600
	}
	m, err := strconv.ParseUint(v, 8, 32)
	if err != nil {
		o.refuse("mode", "must be octal digits, such as 0600")
		return 0o600
	}
	if m&^0o666 != 0 {
		o.refuse("mode", "must not make the log executable")
	}
	return fs.FileMode(m & 0o666)
}

func (o *options) socket(c Config, timeout time.Duration) sink {
	network, address := o.get("socket_type"), o.get("address")
	if network == "" {
		network = "tcp"
	}
	if !slices.Contains([]string{"tcp", "udp", "unix"}, network) {
		o.refuse("socket_type", "must be tcp, udp or unix")
	}
	if address == "" {
		o.refuse("address", "is required")
	}
	return &socket{network: network, address: address, timeout: timeout, dial: c.Dial}
}

// stream writes to what is open already: standard output, or nowhere.
type stream struct{ io.Writer }

func (s stream) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	_, err := s.Write(lines)
	return err
}
func (stream) reload() error { return nil }
func (stream) prompt() bool  { return false }
func (stream) close() error  { return nil }
