package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counts are what a broker has done since it was made.
type Counts struct {
	Requests, RequestFailures   atomic.Uint64
	Responses, ResponseFailures atomic.Uint64
}

// A Broker gives entries to all devices. Requests take no lock of it.
type Broker struct {
	Counts Counts

	logger  *slog.Logger
	mu      sync.Mutex // of changes
	devices atomic.Pointer[[]enabled]
	headers atomic.Pointer[headerRules]
}

type enabled struct {
	path string
	Device
}

// NewBroker returns a broker without devices. What devices fail at is logged.
func NewBroker(logger *slog.Logger) *Broker {
	b := &Broker{logger: logger}
	b.devices.Store(new([]enabled))
	b.headers.Store(newHeaderRules(nil))
	return b
}

// Request records a request before it runs.
func (b *Broker) Request(_ context.Context, x *Entry) error {
	return b.record(KindRequest, x, &b.Counts.Requests, &b.Counts.RequestFailures)
}

// Response records an answer before it is sent.
func (b *Broker) Response(_ context.Context, x *Entry) error {
	return b.record(KindResponse, x, &b.Counts.Responses, &b.Counts.ResponseFailures)
}

func (b *Broker) record(k Kind, x *Entry, done, failed *atomic.Uint64) error {
	devices := *b.devices.Load()
	if len(devices) == 0 {
		return nil
	}
	if x.Time.IsZero() {
		x.Time = time.Now()
	}
	x.keep = b.headers.Load()
	written := false
	var failures []error
	for i := range devices {
		d := &devices[i]
		if err := d.Write(k, x); err != nil {
			b.logger.Error("audit device failed", "device", d.path, "kind", k.String(), "error", err)
			failures = append(failures, fmt.Errorf("%s: %w", d.path, err))
			continue
		}
		written = true
	}
	if !written {
		failed.Add(1)
		return &Unwritten{Kind: k, Failures: failures}
	}
	done.Add(1)
	return nil
}

// Enable adds a device, after it has taken an entry that says so.
func (b *Broker) Enable(path string, d Device) error {
	path = Canonical(path)
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.devices.Load()
	for _, e := range old {
		if e.path == path {
			return ErrPathInUse
		}
	}
	probe := &Entry{Time: time.Now(), Request: Request{ID: "audit-test", Operation: "update", Path: "sys/audit/test"}, keep: b.headers.Load()}
	if err := d.Write(KindRequest, probe); err != nil {
		return fmt.Errorf("the device did not take a test entry: %w", err)
	}
	next := append(slices.Clone(old), enabled{path, d})
	slices.SortFunc(next, func(a, b enabled) int { return strings.Compare(a.path, b.path) })
	b.devices.Store(&next)
	return nil
}

// Disable removes a device and closes it.
func (b *Broker) Disable(path string) error {
	path = Canonical(path)
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.devices.Load()
	i := slices.IndexFunc(old, func(e enabled) bool { return e.path == path })
	if i < 0 {
		return UnknownDevice(path)
	}
	next := slices.Delete(slices.Clone(old), i, i+1)
	b.devices.Store(&next)
	return old[i].Close()
}

// Clear removes all devices: the node is sealed.
func (b *Broker) Clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	old := *b.devices.Load()
	b.devices.Store(new([]enabled))
	for _, e := range old {
		if err := e.Close(); err != nil {
			b.logger.Error("close audit device", "device", e.path, "error", err)
		}
	}
}

// List names the devices.
func (b *Broker) List() (paths []string) {
	for _, e := range *b.devices.Load() {
		paths = append(paths, e.path)
	}
	return paths
}

// Hash is the HMAC that a value has in the lines of a device.
func (b *Broker) Hash(path, value string) (string, error) {
	path = Canonical(path)
	for _, e := range *b.devices.Load() {
		if e.path == path {
			return e.Hash(value), nil
		}
	}
	return "", UnknownDevice(path)
}

// Reload has every device open its destination anew.
func (b *Broker) Reload() error {
	var all []error
	for _, e := range *b.devices.Load() {
		if err := e.Reload(); err != nil {
			all = append(all, fmt.Errorf("%s: %w", e.path, err))
		}
	}
	return errors.Join(all...)
}

// SetHeaders says which request headers are written, and which of those as HMAC.
func (b *Broker) SetHeaders(hmac map[string]bool) { b.headers.Store(newHeaderRules(hmac)) }
