package raft

import (
	"encoding/binary"
	"hash/crc32"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// A save that was under way when the power went is not complete: some of its
// sectors are still what they were before, zeros, or the file ends early.
// Nobody was told that it is durable, so it may go. Damage to what was
// acknowledged has another shape: the record is there to its end, and some of
// its bytes are wrong.
//
// The note of what was acknowledged decides first (see note). The shape decides
// where the note is not there or older than the save, which is after a power
// cut only. Then two things look the same and are taken for a tear: the loss of
// a whole sector of the very last save, and that of all its bytes from one on.

const sector = 512

// torn says whether what begins at an offset, behind a record whose checksum is
// sum, has the shape of a save that was cut short.
func torn(b []byte, at int, sum uint32) bool {
	live := at + lastByte(b[at:]) // all behind is zero or not there
	if live <= at+frameSize {
		return true
	}
	frame := binary.LittleEndian.Uint64(b[at:])
	if frame == 0 {
		return allZero(b[at:min(nextSector(at), len(b))])
	}
	length, pad, ok := unframe(frame)
	if !ok || length > len(b) && !shorter(b, at, length) {
		return false
	}
	from, to := at+frameSize, at+frameSize+length
	if n, ok := announced(head(b, from, min(to, live))); ok && n != length {
		return false // the record's own head says another length than the frame
	}
	if to+pad > len(b) {
		return true // the file ends early
	}
	if live == to-1 {
		return lastByteMissing(b[from:to], sum)
	}
	return live < to || sectorMissing(b, from, to)
}

// shorter says whether a record longer than its whole file may be one that the
// file ends in.
func shorter(b []byte, at, length int) bool {
	b = head(b, at+frameSize, len(b))
	n, ok := announced(b)
	return ok && n == length || !ok && len(b) < headSize
}

// headSize is more than the head of a record takes.
const headSize = 20

// head is what is there of a record's head: a sector of zeros that it runs into
// is missing, and a length is not read from it.
func head(b []byte, from, to int) []byte {
	to = min(to, from+headSize)
	if next := nextSector(from); next < to && allZero(b[next:min(next+sector, len(b))]) {
		to = next
	}
	return b[from:to]
}

// announced is the length of a record according to its own head: type,
// checksum, and data with a length of its own.
func announced(b []byte) (int, bool) {
	at := 0
	for _, want := range []protowire.Number{1, 2} {
		num, typ, n := protowire.ConsumeTag(b[at:])
		if n < 0 || num != want || typ != protowire.VarintType {
			return 0, false
		}
		at += n
		if _, n = protowire.ConsumeVarint(b[at:]); n < 0 {
			return 0, false
		}
		at += n
	}
	num, typ, n := protowire.ConsumeTag(b[at:])
	if n < 0 || num != 3 || typ != protowire.BytesType {
		return 0, false
	}
	at += n
	size, n := protowire.ConsumeVarint(b[at:])
	if n < 0 || size > 1<<40 {
		return 0, false
	}
	return at + n + int(size), true
}

// lastByteMissing says whether a record that ends in a zero is whole but for
// that byte; else the zero is its own, and something else is wrong.
func lastByteMissing(body []byte, sum uint32) bool {
	for c := range 255 {
		try := append(append([]byte{}, body[:len(body)-1]...), byte(c+1))
		rec := parse(try)
		if rec != nil && crc32.Update(sum, castagnoli, rec.Data) == rec.GetCrc() {
			return true
		}
	}
	return false
}

// sectorMissing says whether a sector that a record lies in is zeros, all that
// comes behind the record in it included.
func sectorMissing(b []byte, from, to int) bool {
	for from < to {
		next := nextSector(from)
		if allZero(b[from:min(next, len(b))]) {
			return true
		}
		from = next
	}
	return false
}

// committedBehind looks, behind the end, for states that are linked by their
// checksum to the record before them, and gives the highest entry that one says
// is committed. A commit is only written after its entries are durable.
func committedBehind(b []byte, end int) uint64 {
	var commit uint64
	live := end + lastByte(b[end:])
	for at := end + frameSize; at < live; at += frameSize {
		prev, size := record(b, at)
		if prev == nil {
			continue
		}
		next, _ := record(b, at+size)
		if next == nil || next.GetType() != recordState || crc32.Update(prev.GetCrc(), castagnoli, next.Data) != next.GetCrc() {
			continue
		}
		var st raftpb.HardState
		if proto.Unmarshal(next.Data, &st) == nil {
			commit = max(commit, st.GetCommit())
		}
	}
	return commit
}

func nextSector(at int) int { return (at/sector + 1) * sector }

// lastByte is the length of b without the zeros at its end.
func lastByte(b []byte) int {
	n := len(b)
	for n >= 8 && binary.LittleEndian.Uint64(b[n-8:]) == 0 {
		n -= 8
	}
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

func allZero(b []byte) bool { return lastByte(b) == 0 }
