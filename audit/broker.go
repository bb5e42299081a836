package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Broker sends every entry to all enabled devices. Entries take no lock here;
// the list of devices is replaced as a whole when it changes. It is closed while
// the server is sealed, so that nothing passes unrecorded for want of devices.
type Broker struct {
	now     func() time.Time
	mu      sync.Mutex // held while the list changes
	list    atomic.Pointer[[]slot]
	closed  atomic.Bool
	headers atomic.Pointer[headerRules]
	refused [2]atomic.Uint64
	asked   [2]atomic.Uint64
}

type slot struct {
	path string
	Device
}

// NewBroker returns a broker without devices. now nil is time.Now.
func NewBroker(now func() time.Time) *Broker {
	if now == nil {
		now = time.Now
	}
	b := &Broker{now: now}
	b.list.Store(new([]slot))
	return b
}

// Request records a request that is about to run. With devices enabled, nil
// means that at least one has it; otherwise the error is *Unwritten and the
// request must not run. A context that ends does not stop the entry: what was
// asked is recorded even if nobody waits for the answer.
func (b *Broker) Request(ctx context.Context, e *Entry) error {
	return b.record(ctx, KindRequest, e)
}

// Response records an answer that is about to be sent, on the same terms.
func (b *Broker) Response(ctx context.Context, e *Entry) error {
	return b.record(ctx, KindResponse, e)
}

// Exchange records a request that changes nothing and its answer, before the
// answer is sent.
func (b *Broker) Exchange(ctx context.Context, e *Entry) error {
	return b.record(ctx, KindExchange, e)
}

func (b *Broker) record(_ context.Context, k Kind, e *Entry) error {
	if e.Time.IsZero() {
		e.Time = b.now()
	}
	e.keep = b.headers.Load()
	for _, line := range k.lines() {
		b.asked[line].Add(1)
	}
	for {
		list := b.list.Load()
		if b.closed.Load() {
			return ErrClosed
		}
		err := b.send(*list, k, e)
		// A device that was disabled in the meantime refuses; ask those that are left.
		if err == nil || b.list.Load() == list {
			return err
		}
	}
}

func (b *Broker) send(list []slot, k Kind, e *Entry) error {
	if len(list) == 0 {
		return nil
	}
	if len(list) == 1 {
		err := list[0].Record(k, e)
		if err == nil {
			return nil
		}
		return b.refuse(k, []error{err})
	}
	return b.fanOut(list, k, e)
}

// fanOut returns when the first device has the entry, so that a slow one costs
// nothing while another works. Each counts and logs its own failures.
func (b *Broker) fanOut(list []slot, k Kind, e *Entry) error {
	results := make(chan error, len(list))
	for _, d := range list {
		d.Submit(k, e, results)
	}
	var failures []error
	for range list {
		err := <-results
		if err == nil {
			return nil
		}
		failures = append(failures, err)
	}
	return b.refuse(k, failures)
}

func (b *Broker) refuse(k Kind, failures []error) error {
	for _, line := range k.lines() {
		b.refused[line].Add(1)
	}
	return &Unwritten{Kind: k, Failures: failures}
}

// Enable adds a device after it has taken a test entry, so that one that cannot
// work is refused here. On an error the device is closed.
func (b *Broker) Enable(path string, d Device) error {
	err := b.try(path, d)
	if err == nil {
		err = b.Attach(path, d)
	}
	if err != nil {
		return errors.Join(err, d.Close())
	}
	return nil
}

// try writes the test entry, unless the path is taken: then nothing is opened.
func (b *Broker) try(path string, d Device) error {
	if _, err := b.find(path); err == nil {
		return ErrPathInUse
	}
	result := make(chan error, 1)
	d.Submit(KindRequest, b.testEntry(), result)
	return <-result
}

func (b *Broker) find(path string) (Device, error) {
	path = Canonical(path)
	for _, d := range *b.list.Load() {
		if d.path == path {
			return d, nil
		}
	}
	return nil, UnknownDevice(path)
}

// testEntry is the line that a new device begins with.
func (b *Broker) testEntry() *Entry {
	var id [16]byte
	_, _ = rand.Read(id[:]) // does not fail
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	uuid := fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	return &Entry{Time: b.now(), Request: Request{ID: uuid, Operation: "update", Path: "sys/audit/test"}}
}

// Attach adds a device as it is. It is for those enabled earlier, which count
// after an unseal even while they fail: a device does not vanish by breaking.
func (b *Broker) Attach(path string, d Device) error {
	path = Canonical(path)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return ErrClosed
	}
	list := *b.list.Load()
	if slices.ContainsFunc(list, func(s slot) bool { return s.path == path }) {
		return ErrPathInUse
	}
	list = append(slices.Clone(list), slot{path, d})
	slices.SortFunc(list, func(a, b slot) int { return strings.Compare(a.path, b.path) })
	b.list.Store(&list)
	return nil
}

// Disable removes and closes a device. The error is UnknownDevice if there is
// none at path.
func (b *Broker) Disable(path string) error {
	d, err := b.remove(Canonical(path))
	if err != nil {
		return err
	}
	return d.Close()
}

func (b *Broker) remove(path string) (Device, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(*b.list.Load())
	i := slices.IndexFunc(list, func(s slot) bool { return s.path == path })
	if i < 0 {
		return nil, UnknownDevice(path)
	}
	d := list[i].Device
	list = slices.Delete(list, i, i+1)
	b.list.Store(&list)
	return d, nil
}

// List returns the devices' configs by path, without their salts.
func (b *Broker) List() []Config {
	list := []Config{}
	for _, d := range *b.list.Load() {
		c := d.Config()
		c.Path = d.path
		list = append(list, c)
	}
	return list
}

// Hash returns what input looks like in the lines of the device at path. The
// error is UnknownDevice if there is none.
func (b *Broker) Hash(path, input string) (string, error) {
	d, err := b.find(path)
	if err != nil {
		return "", err
	}
	return d.Hash(input), nil
}

// Reload reopens what every device writes to. Devices that cannot keep what
// they have.
func (b *Broker) Reload() error {
	var errs []error
	for _, d := range *b.list.Load() {
		errs = append(errs, d.Reload())
	}
	return errors.Join(errs...)
}

// SetHeaders says which headers are written, by name in any case; those with a
// true value, and any that carry credentials, are hashed.
func (b *Broker) SetHeaders(hmac map[string]bool) {
	b.headers.Store(newHeaderRules(maps.Clone(hmac)))
}

// Stats counts what the broker was asked to record and what no device took.
func (b *Broker) Stats() Stats {
	return Stats{
		LogRequest: b.asked[KindRequest].Load(), LogRequestFailure: b.refused[KindRequest].Load(),
		LogResponse: b.asked[KindResponse].Load(), LogResponseFailure: b.refused[KindResponse].Load(),
	}
}

// DeviceStats counts by device, keyed by path.
func (b *Broker) DeviceStats() map[string]Stats {
	stats := make(map[string]Stats)
	for _, d := range *b.list.Load() {
		stats[d.path] = d.Stats()
	}
	return stats
}

// Close refuses all further entries, closes the devices and forgets them: the
// server has sealed, and its last request is answered.
func (b *Broker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Swap(true) {
		return nil
	}
	old := *b.list.Load()
	b.list.Store(new([]slot))
	var errs []error
	for _, d := range old {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// Open takes entries again after Close, and has no devices yet.
func (b *Broker) Open() { b.closed.Store(false) }
