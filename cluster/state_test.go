package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/cluster"
	"go.etcd.io/raft/v3/raftpb"
)

func TestStateArrivesWhole(t *testing.T) {
	w := newTown(t, 1, 2)
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	var got []byte
	var number uint64
	w.nodes[2].state = func(m *raftpb.Message, r io.Reader) (err error) {
		number = m.GetIndex()
		got, err = io.ReadAll(r)
		return err
	}
	err := w.nodes[1].SendState(t.Context(), heartbeat(1, 2, 5), func(out io.Writer) error {
		_, err := out.Write(want)
		return err
	})
	if err != nil || !bytes.Equal(got, want) || number != 5 {
		t.Errorf("%d bytes of %d came with message %d, %v", len(got), len(want), number, err)
	}
}

func TestStateThatDoesNotArriveSaysWhy(t *testing.T) {
	broke := errors.New("the disk broke")
	all := func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	for _, test := range []struct {
		name    string
		from    uint64
		write   func(io.Writer) error
		receive func(io.Reader) error
		want    error
		text    string
	}{
		{"the writer breaks", 1, func(out io.Writer) error { io.WriteString(out, "some"); return broke }, all, broke, ""},
		{"the receiver breaks", 1, func(io.Writer) error { return nil }, func(io.Reader) error { return errors.New("no space") }, nil, "no space"},
		{"it is of another node", 3, func(io.Writer) error { return nil }, all, nil, "sent a message from"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newTown(t, 1, 2, 3)
			begun, ended := make(chan struct{}), make(chan error, 1)
			w.nodes[2].state = func(_ *raftpb.Message, r io.Reader) error {
				close(begun)
				err := test.receive(r)
				ended <- err
				return err
			}
			err := w.nodes[1].SendState(t.Context(), heartbeat(test.from, 2, 1), func(out io.Writer) error {
				err := test.write(out)
				if err != nil {
					<-begun // else the other node may never hear of it
				}
				return err
			})
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("sent with %v", err)
			}
			// A state that was cut short never looks whole.
			if test.from == 1 {
				if err := <-ended; err == nil {
					t.Error("the receiver saw a good end")
				}
			}
		})
	}
}

func TestStateThatStallsEnds(t *testing.T) {
	w := newTown(t, 2)
	w.members = []uint64{1, 2}
	n := w.addLimited(1, w.identity(1, w.authority, start), cluster.Limits{Stall: 50 * time.Millisecond})
	hold, ended := make(chan struct{}), make(chan struct{})
	w.nodes[2].state = func(*raftpb.Message, io.Reader) error { <-hold; close(ended); return nil }
	err := n.SendState(t.Context(), heartbeat(1, 2, 1), func(out io.Writer) error {
		_, err := io.Copy(out, pattern{})
		return err
	})
	if !errors.Is(err, cluster.ErrStalled) {
		t.Errorf("it ended with %v", err)
	}
	close(hold)
	<-ended
}

func TestStateEndsWithItsContext(t *testing.T) {
	w := newTown(t, 1, 2)
	ctx, cancel := context.WithCancel(t.Context())
	w.nodes[2].state = func(_ *raftpb.Message, r io.Reader) error {
		cancel()
		_, err := io.Copy(io.Discard, r)
		return err
	}
	err := w.nodes[1].SendState(ctx, heartbeat(1, 2, 1), func(out io.Writer) error {
		_, err := io.Copy(out, pattern{})
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
