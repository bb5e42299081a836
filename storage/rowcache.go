package storage

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// rowCache keeps opened rows. A row in it is current at every index from
// `since` on, because whatever changes the row takes it out: apply moves the
// store's index first and deletes the row then, and a row is only put in while
// the index is still the one it was read at (both under the shard's lock).
type rowCache struct {
	seed    maphash.Seed
	budget  int // bytes per shard
	applied *atomic.Uint64
	shards  [64]cacheShard
}

type cacheShard struct {
	mu   sync.RWMutex
	rows map[string]*cachedRow
	size int
}

type cachedRow struct {
	value   []byte // nil: the row is absent
	since   uint64
	decoded atomic.Value // what a Table made of value
}

const maxCachedRow = 64 << 10

func newRowCache(bytes int, applied *atomic.Uint64) *rowCache {
	c := &rowCache{seed: maphash.MakeSeed(), applied: applied}
	c.budget = bytes / len(c.shards)
	for i := range c.shards {
		c.shards[i].rows = make(map[string]*cachedRow)
	}
	return c
}

func (c *rowCache) shard(key []byte) *cacheShard {
	return &c.shards[maphash.Bytes(c.seed, key)%uint64(len(c.shards))]
}

func (c *rowCache) get(key []byte, at uint64) *cachedRow {
	s := c.shard(key)
	s.mu.RLock()
	r := s.rows[string(key)]
	s.mu.RUnlock()
	if r == nil || r.since > at {
		return nil
	}
	return r
}

func (c *rowCache) put(key, value []byte, at uint64) *cachedRow {
	r := &cachedRow{value: value, since: at}
	if len(value) > maxCachedRow {
		return r
	}
	s := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.applied.Load() != at {
		return r
	}
	if old, ok := s.rows[string(key)]; ok {
		s.size -= len(old.value) + rowOverhead
	}
	s.rows[string(key)] = r
	s.size += len(value) + rowOverhead
	for k, v := range s.rows { // map order is random: that is the eviction
		if s.size <= c.budget {
			break
		}
		s.size -= len(v.value) + rowOverhead
		delete(s.rows, k)
	}
	return r
}

// rowOverhead is what a row costs besides its value, in bytes, roughly.
const rowOverhead = 160

func (c *rowCache) drop(key []byte) {
	s := c.shard(key)
	s.mu.Lock()
	if old, ok := s.rows[string(key)]; ok {
		s.size -= len(old.value) + rowOverhead
		delete(s.rows, string(key))
	}
	s.mu.Unlock()
}

func (c *rowCache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		clear(s.rows)
		s.size = 0
		s.mu.Unlock()
	}
}
