package audit

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A Device formats entries under its own salt and writes them somewhere.
type Device interface {
	// Config is what the device was made from, without its salt.
	Config() Config
	// Submit records an entry. It keeps nothing of the entry, and sends exactly
	// one result within the write timeout: nil once the operating system has
	// the line. result must have room.
	Submit(k Kind, e *Entry, result chan<- error)
	// Record is Submit for a caller who waits, and who may be made to write for
	// others beside it.
	Record(k Kind, e *Entry) error
	// Hash returns what a string looks like in this device's lines.
	Hash(input string) string
	// Stats counts since the device was made.
	Stats() Stats
	// Reload reopens what the device writes to, as log rotation needs.
	Reload() error
	// Close ends the device when its last line is written.
	Close() error
}

// Config describes a device. Path, Type and Salt are required.
type Config struct {
	Path        string // where it is listed; a slash is added at the end
	Type        string // "file", "socket" or "syslog"
	Description string
	Options     map[string]string
	Local       bool

	// Salt keys the hashes: at least 32 random bytes, secret and lasting.
	Salt []byte
	// Dirs, if any, are the only folders below which a file device may write.
	Dirs []string
	// Timeout bounds the wait for a write; zero is five seconds. A socket's
	// write_timeout option goes before it.
	Timeout time.Duration
	// Dial opens a socket device's connection; nil is a plain net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Stdout is where file_path "stdout" writes; nil is os.Stdout.
	Stdout io.Writer
	// Logger is told when a device begins to fail and when it works again.
	Logger *slog.Logger
}

// Stats counts entries, under Vault's metric names log_request,
// log_request_failure, log_response and log_response_failure. An entry that
// failed counts in both.
type Stats struct {
	LogRequest, LogRequestFailure   uint64
	LogResponse, LogResponseFailure uint64
}

// NewDevice checks a config and makes a device of it. It opens nothing: what is
// wrong outside the config shows at the first entry, and the device works once
// that is put right. Errors name the field.
func NewDevice(c Config) (Device, error) {
	c.Path = Canonical(c.Path)
	c.Options = maps.Clone(c.Options)
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Path == "/" {
		return nil, fmt.Errorf("path is required")
	}
	if len(c.Salt) < 32 {
		return nil, fmt.Errorf("salt must have 32 bytes or more")
	}
	d := &device{config: c, salt: c.Salt, log: c.Logger}
	d.config.Salt = nil
	o := options{from: c.Options, used: map[string]bool{}}
	d.format = o.format()
	s, timeout := o.sink(c)
	if err := o.err(); err != nil {
		return nil, err
	}
	d.writer = newWriter(s, timeout)
	d.encoders.New = func() any { return &encoder{hasher: NewHasher(d.salt), format: d.format} }
	d.results.New = func() any { return make(chan error, 1) }
	d.tickets.New = func() any { return new(ticket) }
	return d, nil
}

type device struct {
	config   Config
	salt     []byte
	format   format
	log      *slog.Logger
	writer   *writer
	encoders sync.Pool // of *encoder
	tickets  sync.Pool // of *ticket
	results  sync.Pool // of chan error
	count    [2]struct{ all, failed atomic.Uint64 }
	failing  atomic.Bool
}

func (d *device) Config() Config {
	c := d.config
	c.Options = maps.Clone(c.Options)
	return c
}

func (d *device) Submit(k Kind, e *Entry, result chan<- error) { d.submit(k, e, result, false) }

func (d *device) Record(k Kind, e *Entry) error {
	result := d.results.Get().(chan error)
	d.submit(k, e, result, true)
	err := <-result
	d.results.Put(result)
	return err
}

func (d *device) submit(k Kind, e *Entry, result chan<- error, lead bool) {
	t := d.tickets.Get().(*ticket)
	t.device, t.kind, t.result = d, k, result
	enc := d.encoders.Get().(*encoder)
	defer d.encoders.Put(enc)
	enc.buf = enc.buf[:0]
	if err := enc.entry(k, e); err != nil {
		t.settle(err)
		return
	}
	d.writer.submit(enc.buf, t, lead)
	if cap(enc.buf) > keepBuffer {
		enc.buf = nil
	}
}

// A ticket carries the result of one line back to its caller.
type ticket struct {
	device *device
	kind   Kind
	result chan<- error
}

func (t *ticket) settle(err error) {
	d, result := t.device, t.result
	if err != nil {
		err = fmt.Errorf("audit device %s: %w", d.config.Path, err)
	}
	d.record(t.kind, err)
	*t = ticket{}
	d.tickets.Put(t)
	result <- err
}

// record counts a result, and tells the log when the device's health changes;
// a line for each failure would drown it.
func (d *device) record(k Kind, err error) {
	for _, line := range k.lines() {
		d.count[line].all.Add(1)
		if err != nil {
			d.count[line].failed.Add(1)
		}
	}
	if err != nil {
		if !d.failing.Swap(true) {
			d.log.Error("audit device fails", "device", d.config.Path, "kind", k.String(), "error", err)
		}
		return
	}
	if d.failing.Load() && d.failing.Swap(false) {
		d.log.Info("audit device works again", "device", d.config.Path, "lost", d.lost())
	}
}

func (d *device) lost() uint64 {
	return d.count[KindRequest].failed.Load() + d.count[KindResponse].failed.Load()
}

func (d *device) Stats() Stats {
	request, response := &d.count[KindRequest], &d.count[KindResponse]
	return Stats{
		LogRequest: request.all.Load(), LogRequestFailure: request.failed.Load(),
		LogResponse: response.all.Load(), LogResponseFailure: response.failed.Load(),
	}
}

func (d *device) Hash(input string) string {
	return string(NewHasher(d.salt).AppendString(nil, input))
}

func (d *device) Reload() error {
	if err := d.writer.reload(); err != nil {
		return fmt.Errorf("audit device %s: %w", d.config.Path, err)
	}
	return nil
}

func (d *device) Close() error { return d.writer.close() }
