package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// A frame is a message of raft on the wire:
//
//	length of the rest (4, big endian) | message (protobuf)

// maxFrame is above what a message holds: one entry of 64 MiB and a little more.
const maxFrame = 80 << 20

var errFrame = errors.New("the frame is damaged")

// encodeFrame returns the message as a frame.
func encodeFrame(m *raftpb.Message) ([]byte, error) {
	size := proto.Size(m)
	if size > maxFrame {
		return nil, fmt.Errorf("a message of %d bytes is larger than a frame", size)
	}
	b, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(make([]byte, 4, 4+size), m)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b, nil
}

// readFrame reads one. The end of r before its first byte is io.EOF. Memory
// grows with what arrives and not with what the length says.
func readFrame(r io.Reader) (*raftpb.Message, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxFrame {
		return nil, fmt.Errorf("%w: it says that it has %d bytes", errFrame, size)
	}
	b, err := readExactly(r, int64(size))
	if err != nil {
		return nil, err
	}
	m := new(raftpb.Message)
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errFrame, err)
	}
	return m, nil
}

func readExactly(r io.Reader, size int64) ([]byte, error) {
	if size <= 64<<10 {
		b := make([]byte, size)
		_, err := io.ReadFull(r, b)
		return b, cut(err)
	}
	var b bytes.Buffer
	_, err := io.CopyN(&b, r, size)
	return b.Bytes(), cut(err)
}

// cut says that an end came too early.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
