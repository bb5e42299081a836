package barrier

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fastness-dev/fastness/storage"
)

// No nonce is ever used twice under one data key, whatever becomes leader,
// restarts, is restored or rotates, in any order.
func TestNoncesNeverRepeat(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCluster(t)
		backups := [][]byte{c.keyring}
		nodes := []*Barrier{c.leader(), c.node()}
		seen := map[string]bool{}
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
		rt.Repeat(map[string]func(*rapid.T){
			"seal": func(rt *rapid.T) {
				sealed, err := nodes[pick(2)].Seal(nil, []byte("k"), []byte("v"))
				if err != nil {
					return
				}
				// The header may be the same after a restore; the box under
				// the same key and nonce would be too.
				if seen[string(sealed)] {
					rt.Fatalf("key and nonce used twice: %x", sealed[:rowHead])
				}
				seen[string(sealed)] = true
			},
			"lead": func(*rapid.T) {
				b := nodes[pick(2)]
				if b.Reload(c.keyring) == nil && !olderThan(b, c) {
					c.commit(b.NewLeadership(c.keyring))
				}
			},
			"rotate": func(*rapid.T) {
				b := nodes[pick(2)]
				if b.Reload(c.keyring) == nil && !olderThan(b, c) {
					c.commit(b.Rotate(c.keyring))
				}
			},
			"restart": func(*rapid.T) { nodes[pick(2)] = c.node() },
			"relock": func(*rapid.T) {
				b := nodes[pick(2)]
				b.Lock()
				if err := b.Unlock(c.root, c.keyring); err != nil {
					t.Fatal(err)
				}
			},
			"backup": func(*rapid.T) { backups = append(backups, c.keyring) },
			"restore": func(*rapid.T) {
				c.keyring = backups[pick(len(backups))]
				nodes = []*Barrier{c.leader(), c.node()}
			},
		})
	})
}

// olderThan says whether the store was set back behind the node.
func olderThan(b *Barrier, c *cluster) bool {
	_, err := b.Checkpoint(c.keyring)
	return errors.Is(err, ErrSuperseded)
}

func TestEverythingAtOnce(t *testing.T) {
	c := newCluster(t)
	b := c.leader()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 300 {
				key := fmt.Append(nil, i)
				sealed, err := b.Seal(nil, key, key)
				switch {
				case errors.Is(err, storage.ErrSealed), errors.Is(err, ErrNoLeadership):
					continue
				case err != nil:
					t.Error(err)
				}
				got, err := b.Open(nil, key, sealed)
				if err != nil && !errors.Is(err, storage.ErrSealed) || err == nil && !bytes.Equal(got, key) {
					t.Errorf("opened %q, %v", got, err)
				}
				b.Name(storage.Tokens, "a")
				b.SealToken(nil, key)
				b.KeyStatus()
				b.RotationDue(c.now)
			}
		})
	}
	for i := range 40 {
		if i%8 == 7 {
			b.Lock()
			if err := b.Unlock(c.root, c.keyring); err != nil {
				t.Fatal(err)
			}
			c.commit(b.NewLeadership(c.keyring))
		}
		c.commit(b.Rotate(c.keyring))
	}
	wg.Wait()
}

func FuzzOpen(f *testing.F) {
	c := newCluster(f)
	b := c.leader()
	row := c.seal(b, "k", "value")
	f.Add([]byte("k"), row)
	f.Add([]byte("k"), c.keyring)
	f.Add([]byte(""), make([]byte, Overhead))
	f.Fuzz(func(t *testing.T, key, sealed []byte) {
		got, err := b.Open(nil, key, sealed)
		if err == nil && !(bytes.Equal(sealed, row) && string(key) == "k" && string(got) == "value") {
			t.Errorf("opened what was never sealed: %x", sealed)
		}
		if err != nil && !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("error %v is not that of corruption", err)
		}
		b.OpenToken(nil, sealed)
		if err := b.Reload(sealed); err == nil && !bytes.Equal(sealed, c.keyring) {
			t.Error("reloaded what was never stored")
		}
	})
}

func FuzzDecodeKeyring(f *testing.F) {
	ring := must[*keyring](f)(newKeyring(strings.NewReader(strings.Repeat("k", 64)), time.Unix(1, 2).UTC()))
	f.Add(ring.encode())
	f.Fuzz(func(t *testing.T, in []byte) {
		ring, err := decodeKeyring(in)
		if err != nil {
			wantErr(t, "decode", err, storage.ErrCorrupt)
			return
		}
		again, err := decodeKeyring(ring.encode())
		if err != nil || !bytes.Equal(again.encode(), ring.encode()) {
			t.Errorf("decoded differently the second time: %v", err)
		}
	})
}
