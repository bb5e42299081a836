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
}

var _ storage.Log = (*Memory)(nil)

// NewMemory returns a log that is not started.
func NewMemory() *Memory { return &Memory{failed: make(chan struct{})} }

// Start takes proposals from now on.
func (l *Memory) Start(applied uint64, apply func(uint64, []byte) error) error {
	l.index, l.apply = applied, apply
	return nil
}

// Propose applies an entry at once.
func (l *Memory) Propose(_ context.Context, entry []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	l.index++
	if err := l.apply(l.index, entry); err != nil {
		l.err = err
		close(l.failed)
		return err
	}
	return nil
}

// Full is always false.
func (l *Memory) Full() bool { return false }

// Lost never happens.
func (l *Memory) Lost() <-chan struct{} { return nil }

// Leading is always true: there is nobody else.
func (l *Memory) Leading() bool { return true }

// Term is always 1.
func (l *Memory) Term() uint64 { return 1 }

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
