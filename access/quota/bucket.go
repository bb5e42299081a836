package quota

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"sync"
	"time"
)

// A window is how many requests fit in a length of time (ns).
type window struct {
	limit  uint64
	length int64
}

// A bucket counts the requests of one client against one limit. Windows follow
// one another without a gap from the client's first request on.
type bucket struct {
	start int64 // of the window (unix ns)
	until int64 // the client is blocked until then; 0 if not
	used  uint64
	ends  int64 // when it says nothing that a new one would not
}

// What a bucketKey's who is.
const (
	whoAll byte = iota
	whoAddress
	whoEntity
	whoNetwork // of a client that no bucket was left for
)

type bucketKey struct {
	rule uint64
	who  [16]byte
	kind byte
}

// Buckets are spread over shards, each with its lock. A shard that is full of
// buckets that still count has clients of one network share a bucket: whoever
// has more addresses than we have memory gets no more for it.
const (
	shards          = 64
	bucketsPerShard = 2048
	sharedPerShard  = 64
)

type buckets struct {
	seed  maphash.Seed
	limit int // of a shard
	shard [shards]shard
}

type shard struct {
	mu     sync.Mutex
	m      map[bucketKey]*bucket
	free   []*bucket // to be used again
	sweep  int64     // not before then is there a bucket to be had from sweeping
	shared [sharedPerShard]bucket
}

func (b *buckets) init(perShard int) {
	b.seed, b.limit = maphash.MakeSeed(), perShard
}

// hash is a name as a bucketKey's who.
func (b *buckets) hash(s string) (id [16]byte) {
	var h maphash.Hash
	h.SetSeed(b.seed)
	_, _ = h.WriteString(s) // does not fail
	binary.BigEndian.PutUint64(id[:], h.Sum64())
	_ = h.WriteByte(0)
	_, _ = h.WriteString(s)
	binary.BigEndian.PutUint64(id[8:], h.Sum64())
	return id
}

func (b *buckets) of(k bucketKey) (*shard, uint64) {
	h := maphash.Comparable(b.seed, k)
	return &b.shard[h%shards], h / shards
}

func (b *buckets) take(k bucketKey, w *window, block, now int64) Count {
	s, _ := b.of(k)
	s.mu.Lock()
	if e := s.get(k, b.limit, now); e != nil {
		c := e.take(w, block, now)
		s.mu.Unlock()
		return c
	}
	s.mu.Unlock()
	k.network()
	s, h := b.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shared[h%sharedPerShard].take(w, block, now)
}

func (b *buckets) look(k bucketKey, w *window, now int64) Count {
	s, _ := b.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.m[k]
	if e == nil {
		return Count{Limit: w.limit, Remaining: w.limit}
	}
	seen := *e
	seen.turn(w, now)
	return seen.count(w, seen.used >= w.limit || seen.until > now, now)
}

// network makes a key of the network that an address is of: a /64, or a /24.
func (k *bucketKey) network() {
	if k.kind != whoAddress {
		return
	}
	k.kind = whoNetwork
	if from := [12]byte{10: 0xff, 11: 0xff}; [12]byte(k.who[:12]) == from {
		k.who[15] = 0
		return
	}
	clear(k.who[8:])
}

// get gives the bucket of a key, or nil when there is no room for one more.
func (s *shard) get(k bucketKey, limit int, now int64) *bucket {
	if e := s.m[k]; e != nil {
		return e
	}
	if s.m == nil {
		s.m = make(map[bucketKey]*bucket)
	}
	if len(s.m) >= limit && now >= s.sweep {
		s.clean(now)
	}
	if len(s.m) >= limit {
		return nil
	}
	e := &bucket{}
	if n := len(s.free); n > 0 {
		e, s.free = s.free[n-1], s.free[:n-1]
	}
	e.start = now
	s.m[k] = e
	return e
}

// clean drops the buckets that do not count any longer. When it is worth the
// while again is known then, so a full shard is not gone through for each
// newcomer.
func (s *shard) clean(now int64) {
	s.sweep = math.MaxInt64
	for k, e := range s.m {
		if now >= e.ends {
			delete(s.m, k)
			*e = bucket{}
			s.free = append(s.free, e)
			continue
		}
		s.sweep = min(s.sweep, e.ends)
	}
	s.sweep = max(s.sweep, now+int64(time.Second))
}

func (e *bucket) take(w *window, block, now int64) Count {
	e.turn(w, now)
	over := e.until > now || e.used >= w.limit
	if !over {
		e.used++
	} else if block > 0 && e.until <= now {
		e.until = now + block
	}
	e.ends = max(e.start+w.length, e.until)
	return e.count(w, over, now)
}

// turn begins a new window when the last is over. A clock that was set back
// gives nobody a new one.
func (e *bucket) turn(w *window, now int64) {
	switch past := now - e.start; {
	case e.start == 0 || past < 0:
		e.start = now
	case past >= w.length:
		e.start, e.used = now-past%w.length, 0
	}
	if e.until <= now {
		e.until = 0
	}
}

func (e *bucket) count(w *window, over bool, now int64) Count {
	c := Count{Over: over, Limit: w.limit, Reset: time.Duration(e.start + w.length - now)}
	if e.until > now {
		c.Reset = time.Duration(e.until - now)
	} else if !over {
		c.Remaining = w.limit - e.used
	}
	return c
}
