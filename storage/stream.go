package storage

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
)

// A stream of rows is what one snapshot holds, whole and in the order of keys:
//
//	"FSTROWS" version 1 | index 8
//	row …: uvarint len(key) | key | uvarint len(value) | value
//	0 | rows 8 | SHA-256 of everything before it 32
//
// A key is never empty, so the 0 ends the rows. Values are sealed as they are
// in the store; the stream adds nothing that is secret.
const (
	streamMagic   = "FSTROWS"
	streamVersion = 1
	maxStreamKey  = 64 << 10
)

// ErrReplaced says that the rows were replaced as a whole since the snapshot
// was taken, so that it can no longer be read.
var ErrReplaced = errors.New("the rows were replaced as a whole")

// WriteRows writes all rows of a snapshot as a stream.
func WriteRows(w io.Writer, s Snapshot) error {
	index, err := s.Applied()
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	rw := NewRowWriter(w, index)
	err = s.Scan(nil, nil, func(key, value []byte) bool {
		return rw.Write(Row{Key: key, Value: value}) == nil
	})
	if err = errors.Join(err, rw.err); err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return rw.Close()
}

// A RowWriter writes a stream of rows.
type RowWriter struct {
	to    io.Writer // the end goes there past the sum
	w     *bufio.Writer
	sum   hash.Hash
	count uint64
	err   error
}

// NewRowWriter begins a stream of the rows as the entry with the given index
// left them.
func NewRowWriter(w io.Writer, index uint64) *RowWriter {
	rw := &RowWriter{to: w, sum: sha256.New()}
	rw.w = bufio.NewWriterSize(io.MultiWriter(w, rw.sum), 256<<10)
	rw.put(binary.BigEndian.AppendUint64(append([]byte(streamMagic), streamVersion), index))
	return rw
}

// Write adds a row, whose key must be behind that of the one before.
func (rw *RowWriter) Write(r Row) error {
	rw.field(r.Key)
	rw.field(r.Value)
	rw.count++
	return rw.err
}

// Close writes the end; what w is stays open.
func (rw *RowWriter) Close() error {
	rw.put(binary.BigEndian.AppendUint64([]byte{0}, rw.count))
	if rw.err == nil {
		rw.err = rw.w.Flush()
	}
	if rw.err == nil {
		_, rw.err = rw.to.Write(rw.sum.Sum(nil))
	}
	if rw.err != nil {
		return fmt.Errorf("write rows: %w", rw.err)
	}
	return nil
}

func (rw *RowWriter) field(b []byte) {
	var length [binary.MaxVarintLen64]byte
	rw.put(length[:binary.PutUvarint(length[:], uint64(len(b)))])
	rw.put(b)
}

func (rw *RowWriter) put(b []byte) {
	if rw.err == nil {
		_, rw.err = rw.w.Write(b)
	}
}

// A RowReader reads a stream of rows. What it gave out counts only once Next
// has returned io.EOF: before, the end may turn out to be missing or changed.
type RowReader struct {
	r     *bufio.Reader
	sum   hash.Hash
	index uint64
	count uint64
	row   Row
	last  []byte
	err   error
}

// ReadRows reads the head of a stream.
func ReadRows(r io.Reader) (*RowReader, error) {
	rr := &RowReader{r: bufio.NewReaderSize(r, 256<<10), sum: sha256.New()}
	head := make([]byte, len(streamMagic)+9)
	if err := rr.full(head); err != nil {
		return nil, err
	}
	if string(head[:len(streamMagic)]) != streamMagic {
		return nil, fmt.Errorf("%w: this is not a stream of rows", ErrCorrupt)
	}
	if v := head[len(streamMagic)]; v != streamVersion {
		return nil, fmt.Errorf("the stream of rows has version %d, and this release reads version %d: use the release that wrote it", v, streamVersion)
	}
	rr.index = binary.BigEndian.Uint64(head[len(streamMagic)+1:])
	return rr, nil
}

// Index is that of the last entry whose rows are in the stream.
func (rr *RowReader) Index() uint64 { return rr.index }

// Count is how many rows were read so far.
func (rr *RowReader) Count() uint64 { return rr.count }

// Next returns the next row, which is valid until the next call. It returns
// io.EOF behind the last row, once the whole stream was found to be as it was
// written, and an error that wraps [ErrCorrupt] when it is not.
func (rr *RowReader) Next() (Row, error) {
	if rr.err == nil {
		rr.err = rr.next()
	}
	return rr.row, rr.err
}

func (rr *RowReader) next() (err error) {
	rr.last, rr.row.Key = rr.row.Key, rr.last
	if rr.row.Key, err = rr.field(rr.row.Key, maxStreamKey); err != nil {
		return err
	}
	if len(rr.row.Key) == 0 {
		rr.row = Row{}
		return rr.end()
	}
	if bytes.Compare(rr.row.Key, rr.last) <= 0 {
		return fmt.Errorf("%w: row %d is not behind the one before it", ErrCorrupt, rr.count+1)
	}
	if rr.row.Value, err = rr.field(rr.row.Value, 2*maxEntry); err != nil {
		return err
	}
	rr.count++
	return nil
}

// end checks what stands behind the rows.
func (rr *RowReader) end() error {
	var count [8]byte
	if err := rr.full(count[:]); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(count[:]); n != rr.count {
		return fmt.Errorf("%w: %d rows were written, and %d are here", ErrCorrupt, n, rr.count)
	}
	want := rr.sum.Sum(nil)
	got := make([]byte, len(want))
	if err := rr.full(got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: the rows are not those that were written (SHA-256 differs)", ErrCorrupt)
	}
	return io.EOF
}

func (rr *RowReader) full(b []byte) error {
	if _, err := io.ReadFull(rr.r, b); err != nil {
		return cutOff(err)
	}
	rr.sum.Write(b)
	return nil
}

// cutOff tells an end that comes too early from a reader that failed.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the stream of rows is cut off", ErrCorrupt)
	}
	return fmt.Errorf("read rows: %w", err)
}

// step bounds what is set aside for a field before its bytes have come.
const step = 1 << 20

func (rr *RowReader) field(dst []byte, most uint64) ([]byte, error) {
	n, err := binary.ReadUvarint(counted{rr})
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, cutOff(err)
	case err != nil:
		return nil, fmt.Errorf("read rows: %w", err)
	case n > most:
		return nil, fmt.Errorf("%w: a field of %d bytes where at most %d may be", ErrCorrupt, n, most)
	}
	dst = dst[:0]
	for uint64(len(dst)) < n {
		at := len(dst)
		dst = append(dst, make([]byte, min(n-uint64(at), step))...)
		if err := rr.full(dst[at:]); err != nil {
			return nil, err
		}
	}
	return dst, nil
}

// counted reads single bytes into the sum.
type counted struct{ *RowReader }

func (c counted) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.sum.Write([]byte{b})
	}
	return b, err
}
