package raft

import (
	"context"
	"encoding/binary"

	etcdraft "go.etcd.io/raft/v3"

	"github.com/fastness-dev/fastness/storage"
)

// reads asks the leader what was committed. One question is on its way at a
// time; all who come meanwhile share the next.
type reads struct {
	asked   chan chan uint64
	waiting []chan uint64
	flying  []chan uint64
	round   uint64
	age     int // ticks since the question was asked
}

// readPatience is how many ticks an answer is waited for: a question may be lost.
const readPatience = 2

func (r *reads) init() { r.asked = make(chan chan uint64) }

// ReadIndex asks what was committed by now: see [storage.Log].
func (l *Log) ReadIndex(ctx context.Context) (uint64, error) {
	if l.sole.Load() {
		return 0, nil // whatever was acknowledged was by this node, once applied
	}
	answer := make(chan uint64, 1)
	select {
	case l.asked <- answer:
	case <-l.failed:
		return 0, l.Err()
	case <-l.stop:
		return 0, storage.ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case index := <-answer:
		return index, nil
	case <-l.failed:
		return 0, l.Err()
	case <-l.stop:
		return 0, storage.ErrClosed
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (l *Log) ask(answer chan uint64) {
	l.waiting = append(l.waiting, answer)
	for more := true; more; { // whoever else is here
		select {
		case answer = <-l.asked:
			l.waiting = append(l.waiting, answer)
		default:
			more = false
		}
	}
	if len(l.flying) == 0 {
		l.launch()
	}
}

// launch asks for all that wait. Members must not ask in the same words, so a
// question carries who asks.
func (l *Log) launch() {
	l.flying, l.waiting = append(l.flying, l.waiting...), nil
	if len(l.flying) == 0 {
		return
	}
	l.round++
	l.age = 0
	l.node.ReadIndex(l.question())
}

func (l *Log) question() []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, l.ID()), l.round)
}

func (l *Log) answer(states []etcdraft.ReadState) {
	for _, s := range states {
		if len(l.flying) == 0 || string(s.RequestCtx) != string(l.question()) {
			continue
		}
		for _, answer := range l.flying {
			answer <- s.Index
		}
		clear(l.flying)
		l.flying = l.flying[:0]
		l.launch()
	}
}

func (l *Log) readTick() {
	if len(l.flying)+len(l.waiting) == 0 {
		return
	}
	if l.age++; l.age >= readPatience {
		l.launch()
	}
}
