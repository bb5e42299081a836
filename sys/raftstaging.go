package sys

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/archive"
	"github.com/fastness-dev/fastness/storage/barrier"
	"github.com/fastness-dev/fastness/storage/seal"
)

// A staging is a snapshot on its way into the store: written out as a stream of
// rows beside it, checked, and with the few rows changed that must not be as they
// were.
type staging struct {
	system *System
	// own are rows of Core that stay as they are now when the root key is the
	// same: so the unseal keys of today open the restored cluster too.
	own map[string][]byte
	// unlock is called once the rows of Core are in core, and before any sealed
	// row. It returns what opens the rows, or nil to go by the sums alone.
	unlock func() (*barrier.Barrier, error)

	core  map[string][]byte // rows of Core as the snapshot has them
	peer  *barrier.Barrier
	file  *archive.File
	name  string
	out   *storage.RowWriter
	begun bool
}

// stage reads the snapshot. When it fails, nothing is left.
func (st *staging) stage(from io.Reader) (err error) {
	dir := st.system.Staging
	if dir == "" {
		return engine.Bad("this server restores no snapshots: it has no directory to stage them in")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory for snapshots: %w", err)
	}
	var random [16]byte
	if _, err := rand.Read(random[:]); err != nil {
		return err
	}
	st.name, st.core = hex.EncodeToString(random[:]), map[string][]byte{}
	to, err := os.OpenFile(st.path(), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("stage the snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			st.remove()
		}
	}()
	st.out = storage.NewRowWriter(to, 0)
	if st.file, err = archive.Read(from, st.row); err == nil {
		err = st.check()
	}
	if err == nil {
		err = st.out.Close()
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = syncDir(dir)
	}
	return err
}

func (st *staging) path() string { return filepath.Join(st.system.Staging, st.name) }

// remove drops what is not needed any longer. What stays takes space and harms
// nobody.
func (st *staging) remove() { _ = os.Remove(st.path()) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// row takes one row of the snapshot. Those of Core come first.
func (st *staging) row(r storage.Row) error {
	if name, ok := strings.CutPrefix(string(r.Key), string(storage.BareKey(storage.Core, ""))); ok {
		st.core[name] = bytes.Clone(r.Value)
		return nil
	}
	if err := st.begin(); err != nil {
		return err
	}
	if st.peer != nil {
		if err := storage.Verify(st.peer, r); err != nil {
			return fmt.Errorf("%w: %w", archive.ErrDamaged, err)
		}
	}
	return st.out.Write(r)
}

// begin writes the rows of Core, which no others come before.
func (st *staging) begin() (err error) {
	if st.begun {
		return nil
	}
	st.begun = true
	for _, name := range []string{rowConfig, rowRoot, rowKeyring} {
		if st.core[name] == nil {
			return fmt.Errorf("%w: it holds no %s: it was not taken from a cluster that was initialised", archive.ErrNotOurs, name)
		}
	}
	if st.peer, err = st.unlock(); err != nil {
		return err
	}
	rows := maps.Clone(st.core)
	if st.peer != nil && st.own != nil { // else its own seals stay
		for _, name := range sealRowNames() {
			delete(rows, name)
		}
		maps.Copy(rows, st.own)
	}
	if rows[rowRestored], err = json.Marshal(restored{At: st.system.Now().UTC()}); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		if err := st.out.Write(storage.Row{Key: storage.BareKey(storage.Core, name), Value: rows[name]}); err != nil {
			return err
		}
	}
	return nil
}

// check holds the sums against what the cluster sealed of them.
func (st *staging) check() error {
	if err := st.begin(); err != nil { // there were no other rows
		return err
	}
	if st.peer == nil {
		return nil
	}
	sums, err := st.peer.OpenWithAD(nil, sumsPurpose, st.file.Sealed)
	if err != nil || !bytes.Equal(sums, st.file.Sums) {
		return fmt.Errorf("%w: SHA256SUMS.sealed is not what the cluster sealed", archive.ErrDamaged)
	}
	return nil
}

// prove opens the snapshot's root key by shares of its seal key.
func (st *staging) prove(given []string) (key []byte, _ *barrier.Barrier, err error) {
	var config seal.Config
	if err := json.Unmarshal(st.core[rowConfig], &config); err != nil {
		return nil, nil, fmt.Errorf("%w: its seal configuration cannot be read", archive.ErrDamaged)
	}
	shares := make([][]byte, 0, len(given))
	for i, text := range given {
		share, err := seal.ParseShare(text)
		if err != nil {
			return nil, nil, engine.Bad("unseal key %d is neither hex nor base64", i+1)
		}
		shares = append(shares, share)
	}
	if len(shares) < config.Threshold {
		return nil, nil, engine.Bad("the snapshot needs %d of its %d unseal keys, and %d were given: nothing has changed", config.Threshold, config.Shares, len(shares))
	}
	key = shares[0]
	if config.Threshold > 1 {
		if key, err = seal.Combine(shares); err != nil {
			return nil, nil, engine.Bad("invalid unseal keys: %s", err)
		}
	}
	wrong := engine.Bad("the unseal keys given do not open this snapshot: use those of the cluster at the time that it was taken; nothing has changed")
	if len(key) != barrier.KeySize {
		return nil, nil, wrong
	}
	root, err := barrier.UnwrapRoot(key, st.core[rowRoot])
	if errors.Is(err, barrier.ErrWrongKey) {
		return nil, nil, wrong
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	defer clear(root)
	peer := barrier.New()
	if err := peer.Unlock(root, st.core[rowKeyring]); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	return key, peer, nil
}
