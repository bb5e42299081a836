package quota

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// limitsOf are limits whose shards hold a few buckets, and a rate limit.
func limitsOf(perShard int, rate float64) (*Limits, *Rate) {
	l := NewLimits()
	l.buckets.init(perShard)
	return l, &Rate{ID: 1, first: windowOf(rate, time.Second), second: windowOf(rate, time.Second)}
}

// held counts the buckets in memory, those put aside included.
func (l *Limits) held() (n int) {
	for i := range l.buckets.shard {
		n += len(l.buckets.shard[i].m) + len(l.buckets.shard[i].free)
	}
	return n
}

func address(i uint64) netip.Addr {
	b := [16]byte{0: 0x20, 1: 0x01, 2: 0xd, 3: 0xb8}
	binary.BigEndian.PutUint64(b[8:], i)
	return netip.AddrFrom16(b)
}

// Whoever has more addresses than there is memory for buckets gets no more for
// it, and takes nothing from clients that are elsewhere.
func TestManyAddressesAreBounded(t *testing.T) {
	l, r := limitsOf(16, 3)
	friend := Client{Address: netip.MustParseAddr("192.0.2.1")}
	l.Take(r, friend, noon)
	passed := 0
	for i := range uint64(20_000) {
		for range 5 {
			if !l.Take(r, Client{Address: address(i)}, noon).Over {
				passed++
			}
		}
	}
	if n := l.held(); n > shards*16 {
		t.Errorf("%d buckets are held, want %d at most", n, shards*16)
	}
	if most := (shards*16 + 1) * 3; passed > most {
		t.Errorf("%d requests passed, want %d at most: those of the buckets, and of the one that is shared", passed, most)
	}
	if c := l.Take(r, friend, noon); c.Over || c.Remaining != 1 {
		t.Errorf("a client that was there before: %+v", c)
	}
	if c := l.Take(r, Client{Address: netip.MustParseAddr("198.51.100.7")}, noon); c.Over {
		t.Errorf("a newcomer of another network is refused: %+v", c)
	}
	later := noon.Add(10 * time.Second)
	for i := range uint64(2000) {
		if l.Take(r, Client{Address: address(1_000_000 + i)}, later).Over && i < 16 {
			t.Errorf("newcomer %d is refused once the buckets have run out", i)
		}
	}
	if n := l.held(); n > shards*16 {
		t.Errorf("%d buckets are held after they were used again", n)
	}
}

// Requests at once do not get more than those one after the other.
func TestRequestsAtOnceAreCountedExactly(t *testing.T) {
	l, r := limitsOf(bucketsPerShard, 100)
	var passed [8]int
	var all sync.WaitGroup
	for g := range passed {
		all.Go(func() {
			for range 200 {
				if !l.Take(r, Client{Address: address(1)}, noon).Over {
					passed[g]++
				}
			}
		})
	}
	all.Wait()
	sum := 0
	for _, n := range passed {
		sum += n
	}
	if sum != 100 {
		t.Errorf("%d of 100 requests passed", sum)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	l, r := limitsOf(bucketsPerShard, 1e9)
	all := &Rates{any: true, Config: Config{Exempt: DefaultExempt(), AbsoluteExempt: []string{"a/b/*"}}}
	all.index.add(&Scope{Namespace: "a/", Mount: "secret/", Rest: "data/x", Glob: true}, r)
	for i, by := range []string{ByIP, ByNone, ByEntityThenIP} {
		r.GroupBy = by
		c := Client{Address: address(7), Entity: "6bd3ba1e-2f6a-4c6e-9a41-0c4b8f6a0f5e"}
		l.Take(r, c, noon)
		n := testing.AllocsPerRun(1000, func() {
			if all.None() || all.Exempt("a/", "secret/data/xyz") {
				t.Fatal("not limited")
			}
			l.Take(all.Find("a/", "secret/data/xyz"), c, noon)
		})
		if n != 0 {
			t.Errorf("%d: a request within its rate makes %.1f allocations", i, n)
		}
	}
}

// A window's arithmetic holds for rates and times at the edges.
func TestWindowsAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		rate     float64
		interval time.Duration
		limit    uint64
		length   time.Duration
	}{
		{1, time.Second, 1, time.Second},
		{2.9, time.Second, 2, time.Second},
		{0.25, time.Second, 1, 4 * time.Second},
		{1e300, time.Second, 1 << 63, time.Second},
	} {
		if w := windowOf(c.rate, c.interval); w.limit != c.limit || w.length != int64(c.length) {
			t.Errorf("%g in %s: %+v", c.rate, c.interval, w)
		}
	}
	l, r := limitsOf(4, 1)
	r.first = windowOf(1e-300, 100*365*24*time.Hour)
	for i, over := range []bool{false, true, true} {
		if got := l.Take(r, Client{}, noon.Add(time.Duration(i)*time.Hour)); got.Over != over || got.Reset < 0 {
			t.Errorf("request %d: %+v", i, got)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	l, r := limitsOf(bucketsPerShard, 1e9)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := Client{Address: address(3)}
		for pb.Next() {
			l.Take(r, c, noon)
		}
	})
}

// Refusing costs the same, however many clients there are.
func BenchmarkRefuseNewcomers(b *testing.B) {
	l, r := limitsOf(bucketsPerShard, 1)
	for i := range uint64(shards * bucketsPerShard * 2) {
		l.Take(r, Client{Address: address(i)}, noon)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		l.Take(r, Client{Address: address(1<<40 + uint64(i))}, noon)
	}
}
