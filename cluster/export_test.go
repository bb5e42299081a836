package cluster

import (
	"crypto/tls"
	"io"

	"go.etcd.io/raft/v3/raftpb"
)

// What a stranger needs to write down by hand.

func (i *Identity) TLS() *tls.Certificate { return i.tls() }

func EncodeFrame(m *raftpb.Message) ([]byte, error)  { return encodeFrame(m) }
func ReadFrame(r io.Reader) (*raftpb.Message, error) { return readFrame(r) }

const (
	MaxFrame     = maxFrame
	ProtocolRaft = protocolRaft
	ProtocolHTTP = protocolHTTP
)

// Open counts the connections with members.
func (n *Net) Open() int { return len(n.conns.list()) }
