// Package storage is the ordered transactional store that everything else
// stands on: one request is one transaction is one entry of the log.
//
// A [Store] joins three parts that it knows only by small interfaces: a [Log]
// orders entries and makes them durable, a [State] holds the rows that the log
// produced, and a [Sealer] turns plaintext rows into ciphertext and names into
// HMACs. Log and State never see a plaintext value or a path.
//
// It promises: transactions are serialisable; a transaction is in the log
// whole or not at all; what Update acknowledged survives a crash; a reader
// sees one index of the log and never half of an entry.
package storage

import (
	"context"
	"errors"
	"io"
)

// Errors that callers may test for.
var (
	// ErrSealed says that the keyring is not in memory.
	ErrSealed = errors.New("sealed")
	// ErrNotLeader says that this node may not append to the log.
	ErrNotLeader = errors.New("not the active node")
	// ErrFull says that the disk has no room for another entry. Reads go on.
	ErrFull = errors.New("storage is full: free disk space, then retry")
	// ErrCorrupt says that bytes on disk are not those that were written.
	ErrCorrupt = errors.New("storage is corrupt")
	// ErrReadOnly says that a read-only transaction tried to write.
	ErrReadOnly = errors.New("write in a read-only transaction")
	// ErrUnknownOutcome says that an entry was handed to the log and that it
	// is not known whether it will be applied.
	ErrUnknownOutcome = errors.New("the outcome of this write is unknown")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// An OpKind says what an Op does.
type OpKind byte

// The kinds of Op. Their values are part of the log's format.
const (
	OpPut         OpKind = 1 // Key = Value
	OpDelete      OpKind = 2 // Key is gone
	OpDeleteRange OpKind = 3 // all of [Key, Value) is gone
	OpReplace     OpKind = 4 // all rows are those of the staged stream named Key; alone in its entry
)

// An Op is one change of one row, or of a range of rows, in ciphertext.
type Op struct {
	Kind  OpKind
	Key   []byte
	Value []byte
}

// A Row is a key and its value.
type Row struct {
	Key   []byte
	Value []byte
}

// A Snapshot is the rows as one entry of the log left them. It is safe for
// concurrent use until Close.
type Snapshot interface {
	// Get returns a value, or nil when the row is absent. The caller owns it.
	Get(key []byte) ([]byte, error)
	// Scan calls f with the rows of [from, to) in order of their keys until f
	// returns false. Key and value are only valid during the call.
	Scan(from, to []byte, f func(key, value []byte) bool) error
	// Applied is the index of the last entry whose rows are in it.
	Applied() (uint64, error)
	Close() error
}

// A State is the state machine's rows: an ordered map of bytes, in memory or
// on disk. Rows whose key starts with 0xff belong to the State itself.
type State interface {
	// Apply makes all ops, in order, and the applied index visible and (when
	// durable at all) durable together. An index at or below Applied is ignored.
	Apply(index uint64, ops []Op) error
	// Applied is the index of the last applied entry.
	Applied() uint64
	Snapshot() Snapshot
	// Dump writes all rows as they are now as a stream, which [ReadRows] reads.
	// Entries are applied meanwhile as ever.
	Dump(w io.Writer) error
	// Install replaces all rows by those of a stream, durably, and Applied by
	// index; 0 takes the stream's own. When it fails, nothing has changed, and a
	// crash leaves the rows before or the rows after. Snapshots taken before may
	// answer [ErrReplaced] from then on.
	Install(index uint64, r io.Reader) error
	// Flush makes everything applied so far durable without the log.
	Flush() error
	// Full says whether there is little space left: what adds rows should not
	// be proposed any more. It is cheap enough to be asked at every write.
	Full() bool
	Close() error
}

// A Machine is what a Log works on.
type Machine struct {
	// Apply makes an entry visible. An error stops the log: it is a node that
	// cannot go on.
	Apply func(index uint64, entry []byte) error
	// Replace runs put, which replaces all rows by those of another node as the
	// entry of the index left them. Nothing is applied meanwhile.
	Replace func(index uint64, put func() error) error
}

// A Log orders entries, makes them durable and hands them, in order, to the
// machine given to Start.
type Log interface {
	// Start replays what is committed beyond applied, then takes proposals.
	// It returns once this node has applied everything that it knows to be
	// committed: all there is, if it is the only one.
	Start(applied uint64, m Machine) error
	// Propose puts an entry in the log's order, if this node still leads in the
	// given term. Entries proposed by one goroutine are ordered as proposed. It
	// may return before the entry is durable; the machine is told when it is,
	// or else the fate decides. An error means that the entry will never be
	// applied.
	Propose(ctx context.Context, term uint64, entry []byte) (*Fate, error)
	// Leads is the term in which this node leads, and may propose; 0 when it
	// does not. By then it has applied whatever was committed in earlier terms.
	// Terms grow with every election.
	Leads() uint64
	// ReadIndex asks what was committed by now: whoever has applied the entry of
	// the index sees all that anybody was told. 0 is no more than this node has
	// applied. It waits for a leader until ctx ends.
	ReadIndex(ctx context.Context) (uint64, error)
	// Full says whether every entry is refused until there is space again.
	Full() bool
	// Failed is closed when the log cannot go on; Err says why.
	Failed() <-chan struct{}
	Err() error
	Close() error
}

// A Sealer keeps the barrier: it hides names and values. Every method returns
// ErrSealed (or zero) while the keys are not in memory.
type Sealer interface {
	// Seal appends to dst the sealed form of value, bound to the row key.
	Seal(dst, rowKey, value []byte) ([]byte, error)
	// Open appends to dst the value that was sealed for the row key.
	Open(dst, rowKey, sealed []byte) ([]byte, error)
	// Name is the address of a path within a range: the first 16 bytes of an
	// HMAC over both.
	Name(r Range, path string) ([16]byte, error)
	// Sealed says whether the keys are absent.
	Sealed() bool
}
