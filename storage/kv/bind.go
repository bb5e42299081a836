package kv

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/fastness-dev/fastness/storage"
)

// logKey holds the id of the log whose entries the rows come from.
var logKey = []byte{reserved, 'l'}

// Bind ties the rows to the log of an id, once and for good. It refuses when
// they come from another one.
func (d *Disk) Bind(log string) (err error) {
	d.applyMu.Lock()
	defer d.applyMu.Unlock()
	if d.closed || d.wedged {
		return errors.Join(storage.ErrClosed, d.Err())
	}
	defer recovered(&err)
	value, closer, err := d.db.Get(logKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound) && d.applied.Load() == 0:
		if err := d.db.Set(logKey, []byte(log), pebble.Sync); err != nil {
			return fmt.Errorf("tie the rows to their log: %w", describe(err))
		}
		return d.Err() // a failed write is noted there
	case errors.Is(err, pebble.ErrNotFound):
		return fmt.Errorf("%w: the rows in %s do not say which log they come from: restore state and log from the same backup", storage.ErrCorrupt, d.opts.Dir)
	case err != nil:
		return fmt.Errorf("read which log the rows come from: %w", describe(err))
	}
	defer closer.Close()
	if string(value) != log {
		return fmt.Errorf("%w: the rows in %s come from another log than the one beside them: restore state and log from the same backup", storage.ErrCorrupt, d.opts.Dir)
	}
	return nil
}

// Rebind ties rows, of which there are none, to the log of another id.
func (d *Disk) Rebind(log string) (err error) {
	d.applyMu.Lock()
	defer d.applyMu.Unlock()
	if d.closed || d.wedged {
		return errors.Join(storage.ErrClosed, d.Err())
	}
	defer recovered(&err)
	if d.applied.Load() != 0 {
		return fmt.Errorf("the rows in %s belong to a cluster already: a node that is to join another begins with an empty path", d.opts.Dir)
	}
	if err := d.db.Set(logKey, []byte(log), pebble.Sync); err != nil {
		return fmt.Errorf("tie the rows to another log: %w", describe(err))
	}
	return d.Err()
}
