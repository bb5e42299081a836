package cluster_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/fastness-dev/fastness/cluster"
	"google.golang.org/protobuf/proto"
)

// FuzzFrame reads frames that anybody wrote. What can be read is the same after
// it was written again; nothing else is taken, and memory follows what arrived.
func FuzzFrame(f *testing.F) {
	good, err := cluster.EncodeFrame(heartbeat(1, 2, 3))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{nil, {0}, good, good[:3], good[:len(good)-1], append(good, 0), {0, 0, 0, 0}, {4, 0, 0, 0, 1}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 1, 0xff}} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := cluster.ReadFrame(bytes.NewReader(b))
		if err != nil {
			if err == io.EOF && len(b) > 0 {
				t.Errorf("%x ends in the middle, and it was taken for the end", b)
			}
			return
		}
		again, err := cluster.EncodeFrame(m)
		if err != nil {
			t.Fatal(err)
		}
		same, err := cluster.ReadFrame(bytes.NewReader(again))
		if err != nil || !proto.Equal(m, same) {
			t.Errorf("%x came back as another message, %v", b, err)
		}
	})
}
