package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fastness-dev/fastness/storage"
)

// A File is what Read has found besides the rows.
type File struct {
	Meta
	Sums   []byte // SHA256SUMS
	Sealed []byte // SHA256SUMS.sealed
}

// small bounds the members that are no rows.
const small = 16 << 20

// Read reads a snapshot to its end and hands every row to each, which may be
// nil; a row is valid during the call only. What each was given counts only once
// Read has returned no error. An error wraps [ErrDamaged] or [ErrNotOurs] when
// the file is to blame.
func Read(r io.Reader, each func(storage.Row) error) (*File, error) {
	zip, err := gzip.NewReader(r)
	if err != nil {
		return nil, unreadable("it is no gzip", err)
	}
	m := &reader{tar: tar.NewReader(zip)}
	f, err := m.read(each)
	if err != nil {
		return nil, err
	}
	// The end of the gzip is checked by being read.
	if n, err := io.Copy(io.Discard, io.LimitReader(zip, small)); err != nil || n == small {
		return nil, unreadable("what follows the tar is wrong", err)
	}
	return f, nil
}

type reader struct{ tar *tar.Reader }

func (m *reader) read(each func(storage.Row) error) (*File, error) {
	text, err := m.member(memberMeta)
	if err != nil {
		return nil, err
	}
	f := &File{}
	if err := json.Unmarshal(text, &f.Meta); err != nil || f.Product != Product {
		return nil, fmt.Errorf("%w: its meta.json is not that of Fastness; a snapshot of another product has to be brought over by its own API", ErrNotOurs)
	}
	if f.Format > Format || f.Format < 1 {
		return nil, fmt.Errorf("%w: it has format %d, and this release reads up to %d: use release %s or a later one", ErrNotOurs, f.Format, Format, f.Version)
	}
	state, err := m.rows(&f.Meta, each)
	if err != nil {
		return nil, err
	}
	if f.Sums, err = m.member(memberSums); err != nil {
		return nil, err
	}
	if !bytes.Equal(f.Sums, sums(text, state)) {
		return nil, fmt.Errorf("%w: SHA256SUMS does not match what is inside", ErrDamaged)
	}
	if f.Sealed, err = m.member(memberSealed); err != nil {
		return nil, err
	}
	return f, nil
}

// rows reads state.bin and holds it against the meta data.
func (m *reader) rows(meta *Meta, each func(storage.Row) error) ([]byte, error) {
	if err := m.next(memberState); err != nil {
		return nil, err
	}
	sum := sha256.New()
	rows, err := storage.ReadRows(io.TeeReader(m.tar, sum))
	if err != nil {
		return nil, damage(err)
	}
	var found tally
	for {
		row, err := rows.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, damage(err)
		}
		found.add(row)
		if each != nil {
			if err := each(row); err != nil {
				return nil, err
			}
		}
	}
	if _, err := io.Copy(sum, m.tar); err != nil {
		return nil, damage(err)
	}
	state := sum.Sum(nil)
	switch {
	case hex.EncodeToString(state) != meta.StateSHA256:
		return nil, fmt.Errorf("%w: state.bin does not have the SHA-256 that meta.json names", ErrDamaged)
	case rows.Index() != meta.Index:
		return nil, fmt.Errorf("%w: its rows are of entry %d, and meta.json says %d", ErrDamaged, rows.Index(), meta.Index)
	case found.all != meta.Count || !slices.Equal(found.list(), meta.Ranges):
		return nil, fmt.Errorf("%w: it holds %d rows, and meta.json counts others", ErrDamaged, found.all.Rows)
	}
	return state, nil
}

func (m *reader) next(name string) error {
	h, err := m.tar.Next()
	switch {
	case err != nil:
		return unreadable(name+" is missing", err)
	case h.Name != name:
		return fmt.Errorf("%w: it holds %q where %s belongs", ErrNotOurs, h.Name, name)
	}
	return nil
}

func (m *reader) member(name string) ([]byte, error) {
	if err := m.next(name); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(m.tar, small))
	if err != nil {
		return nil, unreadable(name+" is cut off", err)
	}
	if len(b) == small {
		return nil, fmt.Errorf("%w: %s is too long", ErrNotOurs, name)
	}
	return b, nil
}

// unreadable tells a file that is none of ours or broken.
func unreadable(what string, err error) error {
	if err == nil {
		return fmt.Errorf("%w: %s", ErrDamaged, what)
	}
	return fmt.Errorf("%w: %s: %w", ErrDamaged, what, err)
}

func damage(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }
