package cluster_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/cluster"
)

func TestJoinIsProven(t *testing.T) {
	now := start
	clock := func() time.Time { return now }
	leader, err := cluster.NewChallenger(clock)
	if err != nil {
		t.Fatal(err)
	}
	restarted, err := cluster.NewChallenger(clock)
	if err != nil {
		t.Fatal(err)
	}
	root, wrong := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	claim := cluster.Claim{NodeID: "b", Address: "10.0.0.2:8201", PublicKey: []byte("key")}
	challenge := draw(t, leader)
	answer, err := cluster.Answer(root, challenge, claim)
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	type try struct {
		by                *cluster.Challenger
		root              []byte
		challenge, answer []byte
		claim             cluster.Claim
		after             time.Duration
	}
	good := try{leader, root, challenge, answer, claim, 0}
	for _, test := range []struct {
		name   string
		change func(*try)
		want   error
	}{
		{"right", func(*try) {}, nil},
		{"right after a minute", func(c *try) { c.after = time.Minute }, nil},
		{"too late", func(c *try) { c.after = time.Minute + 1 }, cluster.ErrChallenge},
		{"before it was given", func(c *try) { c.after = -1 }, cluster.ErrChallenge},
		{"to another process", func(c *try) { c.by = restarted }, cluster.ErrChallenge},
		{"a challenge of one's own", func(c *try) { c.challenge = bytes.Repeat([]byte{9}, len(challenge)) }, cluster.ErrChallenge},
		{"another time in it", func(c *try) { c.challenge = flipped(challenge, 0) }, cluster.ErrChallenge},
		{"another seal on it", func(c *try) { c.challenge = flipped(challenge, len(challenge)-1) }, cluster.ErrChallenge},
		{"a short one", func(c *try) { c.challenge = challenge[:10] }, cluster.ErrChallenge},
		{"none", func(c *try) { c.challenge = nil }, cluster.ErrChallenge},
		{"another challenge", func(c *try) { c.challenge = draw(t, leader) }, cluster.ErrProof},
		{"another root key", func(c *try) { c.root = wrong }, cluster.ErrProof},
		{"another answer", func(c *try) { c.answer = flipped(answer, 3) }, cluster.ErrProof},
		{"no answer", func(c *try) { c.answer = nil }, cluster.ErrProof},
		{"half of it", func(c *try) { c.answer = answer[:16] }, cluster.ErrProof},
		{"another name", func(c *try) { c.claim.NodeID = "c" }, cluster.ErrProof},
		{"another address", func(c *try) { c.claim.Address = "10.0.0.3:8201" }, cluster.ErrProof},
		{"another key", func(c *try) { c.claim.PublicKey = []byte("mine") }, cluster.ErrProof},
		{"the same bytes cut elsewhere", func(c *try) { c.claim.NodeID, c.claim.Address = "b1", "0.0.0.2:8201" }, cluster.ErrProof},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := good
			test.change(&c)
			now = start.Add(c.after)
			defer func() { now = start }()
			if err := c.by.Check(c.root, c.challenge, c.claim, c.answer); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := cluster.Answer(root[:31], challenge, claim); err == nil {
		t.Error("a short root key was taken")
	}
	if err := leader.Check(nil, challenge, claim, answer); err == nil {
		t.Error("no root key was taken")
	}
}

func TestReplyIsProven(t *testing.T) {
	leader, err := cluster.NewChallenger(func() time.Time { return start })
	if err != nil {
		t.Fatal(err)
	}
	root := bytes.Repeat([]byte{1}, 32)
	claim := cluster.Claim{NodeID: "b", Address: "10.0.0.2:8201", PublicKey: []byte("key")}
	challenge := draw(t, leader)
	seal, err := cluster.SealReply(root, challenge, claim, []byte("welcome"))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := cluster.Answer(root, challenge, claim)
	if err != nil {
		t.Fatal(err)
	}
	later := claim
	later.PublicKey = []byte("a key drawn later")
	for _, test := range []struct {
		name        string
		root        []byte
		challenge   []byte
		claim       cluster.Claim
		reply, seal []byte
		want        error
	}{
		{"right", root, challenge, claim, []byte("welcome"), seal, nil},
		{"another reply", root, challenge, claim, []byte("go away"), seal, cluster.ErrProof},
		{"to another challenge", root, draw(t, leader), claim, []byte("welcome"), seal, cluster.ErrProof},
		{"to a join of before", root, challenge, later, []byte("welcome"), seal, cluster.ErrProof},
		{"by another root key", bytes.Repeat([]byte{2}, 32), challenge, claim, []byte("welcome"), seal, cluster.ErrProof},
		{"one's own answer thrown back", root, challenge, claim, nil, answer, cluster.ErrProof},
		{"no seal", root, challenge, claim, []byte("welcome"), nil, cluster.ErrProof},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := cluster.CheckReply(test.root, test.challenge, test.claim, test.reply, test.seal); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func draw(t *testing.T, c *cluster.Challenger) []byte {
	t.Helper()
	b, err := c.Challenge()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
