package raft_test

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
	"google.golang.org/protobuf/proto"

	"github.com/fastness-dev/fastness/storage/raft"
)

// Wherever a record begins and whichever of its sectors did not reach the disk,
// it has the shape of a tear. Its head, too, may lie in two sectors: a checksum
// of less than 29 bits is shorter, and the length stands elsewhere.
func TestMissingSectorsAreATear(t *testing.T) {
	const sector = 512
	r := rand.New(rand.NewPCG(3, 4))
	for at := 0; at < sector; at += 8 {
		for range 40 {
			data := make([]byte, 1+r.IntN(1500))
			for i := range data {
				data[i] = byte(1 + r.IntN(255))
			}
			sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
			sum >>= r.IntN(12) // torn has no use for a right one
			body, err := proto.Marshal(&walpb.Record{Type: proto.Int64(2), Crc: &sum, Data: data})
			if err != nil {
				t.Fatal(err)
			}
			pad := -len(body) & 7
			frame := uint64(len(body))
			if pad > 0 {
				frame |= uint64(0x80|pad) << 56
			}
			b := binary.LittleEndian.AppendUint64(make([]byte, at, 4*sector), frame)
			b = append(b, body...)
			sectors := (len(b) + sector - 1) / sector
			b = b[:4*sector]
			lost := 1 + r.IntN(1<<sectors-1)
			for s := range sectors {
				if lost>>s&1 == 1 {
					clear(b[s*sector : (s+1)*sector])
				}
			}
			if !raft.Torn(b, at, 0) {
				t.Errorf("a record of %d bytes at %d without sectors %b: is taken for damage", len(body), at, lost)
			}
		}
	}
}
