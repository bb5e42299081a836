package raft

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/fastness-dev/fastness/storage"
)

// An identity is written at the head of each of the log's files and never
// changes.
type identity struct {
	Node string `json:"node"` // node_id
	Log  string `json:"log"`  // 16 random bytes in hex, drawn when the log was made
	ID   uint64 `json:"id"`   // of the node among the log's members, drawn with it
	// Joined says that the log was made by another node: this one begins without
	// entries or members, and waits to be told.
	Joined bool `json:"joined,omitempty"`
}

// newIdentity draws an id for the log, and one for a node that has no name.
func newIdentity(node string) (identity, error) {
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return identity{}, fmt.Errorf("draw the log's id: %w", err)
	}
	if node == "" {
		node = hex.EncodeToString(b[16:])
	}
	return identity{Node: node, Log: hex.EncodeToString(b[:16]), ID: NewID()}, nil
}

// NewID draws an id for a member of a log. It is never 0, which is nobody.
func NewID() uint64 {
	for {
		var b [8]byte
		_, _ = rand.Read(b[:]) // it never fails
		if id := binary.BigEndian.Uint64(b[:]) >> 1; id != 0 {
			return id
		}
	}
}

func (i identity) encode() ([]byte, error) { return json.Marshal(i) }

// parseIdentity reads what the log says of itself and holds it against the
// configured name; "" takes any.
func parseIdentity(b []byte, dir, node string) (identity, error) {
	var i identity
	if err := json.Unmarshal(b, &i); err != nil || i.Node == "" || i.Log == "" || i.ID == 0 {
		return i, fmt.Errorf("%w: the log in %s does not say whose it is: %s", storage.ErrCorrupt, dir, advice)
	}
	if node != "" && node != i.Node {
		return i, fmt.Errorf("the log in %s belongs to node %q, and this node is %q: give this node the path of its own data, or set node_id to %q", dir, i.Node, node, i.Node)
	}
	return i, nil
}
