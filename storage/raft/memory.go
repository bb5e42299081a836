package raft

import (
	"context"
	"sync"

	"github.com/fastness-dev/fastness/storage"
)

// Memory is a log of one node that keeps nothing: for -dev and tests.
type Memory struct {
	mu     sync.Mutex
	index  uint64
	apply  func(uint64, []byte) error
	err    error
	failed chan struct{}
	fate   *storage.Fate // never decided: entries are applied when they are proposed
}

var _ storage.Log = (*Memory)(nil)

// NewMemory returns a log that is not started.
func NewMemory() *Memory { return &Memory{failed: make(chan struct{}), fate: storage.NewFate()} }

// Start takes proposals from now on.
func (l *Memory) Start(applied uint64, m storage.Machine) error {
	l.index, l.apply = applied, m.Apply
	return nil
}

// Propose applies an entry at once.
func (l *Memory) Propose(_ context.Context, _ uint64, entry []byte) (*storage.Fate, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	l.index++
	if err := l.apply(l.index, entry); err != nil {
		l.err = err
		close(l.failed)
		return nil, err
	}
	return l.fate, nil
}

// Full is always false.
func (l *Memory) Full() bool { return false }

// Leads is always in term 1: there is nobody else.
func (l *Memory) Leads() uint64 { return 1 }

// ReadIndex knows of nothing that is not applied.
func (l *Memory) ReadIndex(context.Context) (uint64, error) { return 0, nil }

// Failed is closed when an entry could not be applied.
func (l *Memory) Failed() <-chan struct{} { return l.failed }

// Err says why.
func (l *Memory) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Close does nothing.
func (l *Memory) Close() error { return nil }
