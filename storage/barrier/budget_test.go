//go:build !race

// The race detector makes sync.Pool drop items at random, so budgets of
// allocations hold without it only.

package barrier

import (
	"testing"

	"github.com/fastness-dev/fastness/storage"
)

func TestHotPathsAllocateNothing(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	key, value := []byte("v\x00\x00\x00\x00\x00\x00\x00\x05sixteen byte hmac"), make([]byte, 400)
	sealed := c.seal(b, string(key), string(value))
	sealBuf, openBuf := make([]byte, 0, len(sealed)), make([]byte, 0, len(value))
	for name, f := range map[string]func(){
		"Seal": func() { b.Seal(sealBuf, key, value) },
		"Open": func() { b.Open(openBuf, key, sealed) },
		"Name": func() { b.Name(storage.Tokens, "a/path/of/usual/length") },
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	if n := testing.AllocsPerRun(200, func() { b.Seal(nil, key, value) }); n != 1 {
		t.Errorf("Seal without a buffer allocates %v times", n)
	}
}

func BenchmarkSeal400(b *testing.B) {
	c := newCluster(b)
	barrier := c.leader()
	key, value, buf := make([]byte, 25), make([]byte, 400), make([]byte, 0, 500)
	for b.Loop() {
		barrier.Seal(buf, key, value)
	}
}

func BenchmarkOpen400(b *testing.B) {
	c := newCluster(b)
	barrier := c.leader()
	key := make([]byte, 25)
	sealed, buf := c.seal(barrier, string(key), string(make([]byte, 400))), make([]byte, 0, 500)
	for b.Loop() {
		barrier.Open(buf, key, sealed)
	}
}

func BenchmarkName(b *testing.B) {
	barrier := newCluster(b).node()
	for b.Loop() {
		barrier.Name(storage.Tokens, "secret/data/team/app/config")
	}
}

func BenchmarkOpenToken(b *testing.B) {
	barrier := newCluster(b).node()
	token, _ := barrier.SealToken(nil, make([]byte, 100))
	for b.Loop() {
		barrier.OpenToken(nil, token)
	}
}
