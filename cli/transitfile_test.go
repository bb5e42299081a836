package cli

import (
	"bytes"
	"encoding/base64"
	"testing"
)

// A file of any length comes back, and none that was changed, cut or lengthened,
// or of which pieces were left out or changed places.
func TestSealedPieces(t *testing.T) {
	a, err := fileCipher(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	if err != nil {
		t.Fatal(err)
	}
	head := []byte(`{"format":"x"}`)
	for _, n := range []int{0, 1, pieceSize - 1, pieceSize, pieceSize + 1, 3*pieceSize + 7} {
		plain := bytes.Repeat([]byte("secret"), n/6+1)[:n]
		var sealed, back bytes.Buffer
		if err := sealPieces(a, head, &sealed, bytes.NewReader(plain)); err != nil {
			t.Fatal(err)
		}
		if err := openPieces(a, head, &back, bytes.NewReader(sealed.Bytes())); err != nil || !bytes.Equal(back.Bytes(), plain) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		piece := pieceSize + a.Overhead()
		b := sealed.Bytes()
		bad := map[string][]byte{
			"another head": b, "one byte less": b[:len(b)-1], "nothing": {}, "one byte more": append(bytes.Clone(b), 0),
			"a piece more": append(bytes.Clone(b), b...),
		}
		if len(b) > piece {
			bad["the last piece less"] = b[:(len(b)-1)/piece*piece]
			bad["the first piece less"] = b[piece:]
		}
		if len(b) > 3*piece {
			bad["pieces swapped"] = append(append(append([]byte{}, b[piece:2*piece]...), b[:piece]...), b[2*piece:]...)
		}
		for _, at := range []int{0, len(b) / 2, len(b) - 1} {
			c := bytes.Clone(b)
			c[at] ^= 1
			bad["byte "+string(rune('0'+at%10))] = c
		}
		for what, b := range bad {
			h := head
			if what == "another head" {
				h = []byte("{}")
			}
			if err := openPieces(a, h, &bytes.Buffer{}, bytes.NewReader(b)); err == nil {
				t.Errorf("%d bytes, %s: it is opened", n, what)
			}
		}
	}
}
