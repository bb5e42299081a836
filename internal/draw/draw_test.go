package draw_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/fastness-dev/fastness/internal/draw"
)

// Of the 256 bytes each character takes four, and eight are thrown away.
func TestEveryCharacterIsAsLikely(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	text, err := draw.Base62(bytes.NewReader(all), 4*62)
	if err != nil {
		t.Fatal(err)
	}
	count := map[rune]int{}
	for _, c := range text {
		count[c]++
	}
	for c, n := range count {
		if n != 4 {
			t.Errorf("%q stands %d times", c, n)
		}
	}
	if len(count) != 62 {
		t.Errorf("%d characters", len(count))
	}
	if _, err := draw.Base62(bytes.NewReader(all[:31]), 1); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that ends: %v", err)
	}
	for _, n := range []int{0, 1, 24, 100} {
		if text, err := draw.Base62(rand.Reader, n); err != nil || len(text) != n {
			t.Errorf("%d characters: %q %v", n, text, err)
		}
	}
}
