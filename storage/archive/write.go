package archive

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// Write writes a snapshot. about says whose it is; what it says of the rows is
// filled in. seal seals SHA256SUMS by the cluster's keys. The snapshot is read
// twice, since a tar says first how long a member is: so nothing is held in
// memory or on disk, and nothing that is written to the store meanwhile counts.
func Write(w io.Writer, s storage.Snapshot, about Meta, seal func([]byte) ([]byte, error)) error {
	meta, size, err := measure(s, about)
	if err != nil {
		return fmt.Errorf("measure the snapshot: %w", err)
	}
	text, err := meta.encode()
	if err != nil {
		return fmt.Errorf("describe the snapshot: %w", err)
	}
	state, err := hex.DecodeString(meta.StateSHA256)
	if err != nil {
		return err
	}
	list := sums(text, state)
	sealed, err := seal(list)
	if err != nil {
		return fmt.Errorf("seal the snapshot's sums: %w", err)
	}
	// Sealed rows do not shrink; the gzip is for the shape.
	zip, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	t := &members{tar.NewWriter(zip), about.Time}
	err = t.add(memberMeta, text)
	if err == nil {
		err = t.begin(memberState, size)
	}
	if err == nil {
		err = storage.WriteRows(t.w, s)
	}
	if err == nil {
		err = t.add(memberSums, list)
	}
	if err == nil {
		err = t.add(memberSealed, sealed)
	}
	if err == nil {
		err = t.w.Close()
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// measure reads the rows once.
func measure(s storage.Snapshot, about Meta) (*Meta, int64, error) {
	var rows tally
	var size length
	sum := sha256.New()
	index, err := s.Applied()
	if err != nil {
		return nil, 0, err
	}
	stream := storage.NewRowWriter(io.MultiWriter(sum, &size), index)
	var failed error
	err = s.Scan(nil, nil, func(key, value []byte) bool {
		r := storage.Row{Key: key, Value: value}
		rows.add(r)
		failed = stream.Write(r)
		return failed == nil
	})
	if err == nil {
		err = failed
	}
	if err == nil {
		err = stream.Close()
	}
	if err != nil {
		return nil, 0, err
	}
	about.Format, about.Product, about.Index = Format, Product, index
	about.Count, about.Ranges = rows.all, rows.list()
	about.StateSHA256 = hex.EncodeToString(sum.Sum(nil))
	return &about, int64(size), nil
}

type length int64

func (l *length) Write(p []byte) (int, error) {
	*l += length(len(p))
	return len(p), nil
}

// members writes the members of a tar.
type members struct {
	w    *tar.Writer
	time time.Time
}

func (m *members) begin(name string, size int64) error {
	return m.w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: m.time})
}

func (m *members) add(name string, body []byte) error {
	if err := m.begin(name, int64(len(body))); err != nil {
		return err
	}
	_, err := m.w.Write(body)
	return err
}
