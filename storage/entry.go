package storage

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// An entry of the log holds the writes of one or more transactions, each whole:
//
//	version 1 | node 8 | first 8 | last 8 | op …
//	op: kind 1 | uvarint len | key | (uvarint len | value)   value absent for a delete or a replacement
//
// node and first..last say whose transactions these are, so that the node that
// proposed them knows when they are applied.
const entryVersion = 1

type entryHead struct {
	node        uint64
	first, last uint64
}

func appendHead(dst []byte, h entryHead) []byte {
	dst = append(dst, entryVersion)
	dst = binary.BigEndian.AppendUint64(dst, h.node)
	dst = binary.BigEndian.AppendUint64(dst, h.first)
	return binary.BigEndian.AppendUint64(dst, h.last)
}

func appendOp(dst []byte, op Op) []byte {
	dst = append(dst, byte(op.Kind))
	dst = binary.AppendUvarint(dst, uint64(len(op.Key)))
	dst = append(dst, op.Key...)
	if op.Kind != OpDelete && op.Kind != OpReplace {
		dst = binary.AppendUvarint(dst, uint64(len(op.Value)))
		dst = append(dst, op.Value...)
	}
	return dst
}

func decodeEntry(b []byte) (h entryHead, ops []Op, err error) {
	bad := fmt.Errorf("decode log entry: %w", ErrCorrupt)
	if len(b) < 25 || b[0] != entryVersion {
		return h, nil, bad
	}
	h.node = binary.BigEndian.Uint64(b[1:])
	h.first = binary.BigEndian.Uint64(b[9:])
	h.last = binary.BigEndian.Uint64(b[17:])
	b = b[25:]
	take := func() ([]byte, bool) {
		n, w := binary.Uvarint(b)
		if w <= 0 || uint64(len(b)-w) < n {
			return nil, false
		}
		v := b[w : w+int(n)]
		b = b[w+int(n):]
		return v, true
	}
	for len(b) > 0 {
		op := Op{Kind: OpKind(b[0])}
		b = b[1:]
		if op.Kind < OpPut || op.Kind > OpReplace {
			return h, nil, bad
		}
		var ok bool
		if op.Key, ok = take(); !ok {
			return h, nil, bad
		}
		if op.Kind != OpDelete && op.Kind != OpReplace {
			if op.Value, ok = take(); !ok {
				return h, nil, bad
			}
		}
		ops = append(ops, op)
	}
	if len(ops) > 1 && slices.ContainsFunc(ops, func(op Op) bool { return op.Kind == OpReplace }) {
		return h, nil, bad
	}
	return h, ops, nil
}
