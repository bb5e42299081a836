// Package archive owns the file that a snapshot is kept in: a gzipped tar with
// the members that Vault's has,
//
//	meta.json           what is inside: [Meta]
//	state.bin           all rows, as a stream of package storage
//	SHA256SUMS          of the two, as sha256sum writes them
//	SHA256SUMS.sealed   the same, sealed by the cluster's barrier
//
// The rows are sealed as they are in the store: who holds the file and no keys
// learns how many rows there are and how long, and nothing else. It promises
// that an archive is written and read as a stream, however large, and that
// [Read] only succeeds when every byte is as it was written and all that meta.json
// says of the rows is so. Whether the rows open is for who holds the keys.
package archive

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fastness-dev/fastness/storage"
)

// Format is the version of the format. A reader refuses a later one.
const Format = 1

// The members, in their order.
const (
	memberMeta   = "meta.json"
	memberState  = "state.bin"
	memberSums   = "SHA256SUMS"
	memberSealed = "SHA256SUMS.sealed"
)

// ErrNotOurs says that a file is no snapshot of Fastness, or not one that this
// release reads.
var ErrNotOurs = errors.New("not a snapshot that can be restored here")

// ErrDamaged says that a snapshot is not as it was written.
var ErrDamaged = errors.New("the snapshot is damaged: take it from another copy, or use an older one")

// Meta says what a snapshot holds. Nothing in it is secret.
type Meta struct {
	Format      int       `json:"format"`
	Product     string    `json:"product"`
	Version     string    `json:"version"` // of the release that wrote it
	Time        time.Time `json:"time"`
	ClusterID   string    `json:"cluster_id"`
	ClusterName string    `json:"cluster_name"`
	SealType    string    `json:"seal_type"`
	Index       uint64    `json:"index"` // of the last entry that is in it
	Term        uint64    `json:"term"`
	Count
	StateSHA256 string  `json:"state_sha256"`
	Ranges      []Range `json:"ranges"`
}

// Product is what Meta.Product says.
const Product = "fastness"

// A Count is of rows and of their bytes, keys included.
type Count struct {
	Rows  uint64 `json:"rows"`
	Bytes uint64 `json:"bytes"`
}

// A Range is what lies in one range of the store. NS 0 is the root namespace.
type Range struct {
	NS uint32 `json:"ns"`
	ID uint32 `json:"id"`
	Count
}

// A tally counts rows by range.
type tally struct {
	all    Count
	ranges map[[2]uint32]*Count
}

func (t *tally) add(r storage.Row) {
	ns, id, _ := storage.RangeOf(r.Key)
	if t.ranges == nil {
		t.ranges = make(map[[2]uint32]*Count)
	}
	of := t.ranges[[2]uint32{ns, id}]
	if of == nil {
		of = new(Count)
		t.ranges[[2]uint32{ns, id}] = of
	}
	for _, c := range []*Count{&t.all, of} {
		c.Rows++
		c.Bytes += uint64(len(r.Key) + len(r.Value))
	}
}

func (t *tally) list() []Range {
	list := make([]Range, 0, len(t.ranges))
	for k, c := range t.ranges {
		list = append(list, Range{NS: k[0], ID: k[1], Count: *c})
	}
	slices.SortFunc(list, func(a, b Range) int {
		return cmp.Or(cmp.Compare(a.NS, b.NS), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// sums is the text of SHA256SUMS.
func sums(meta, state []byte) []byte {
	m := sha256.Sum256(meta)
	return fmt.Appendf(nil, "%s  %s\n%s  %s\n", hex.EncodeToString(m[:]), memberMeta, hex.EncodeToString(state), memberState)
}

func (m *Meta) encode() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", "  ")
	return append(b, '\n'), err
}
