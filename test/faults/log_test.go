package faults

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What became of the log of a server that was killed.
func TestLog(t *testing.T) {
	begin := func(t *testing.T) *world {
		w := begin(t, program, t.TempDir())
		w.server.Kill()
		return w
	}
	const wal = "log/wal/*.wal"

	t.Run("the end is cut off", func(t *testing.T) {
		w := begin(t)
		name := w.newest(wal)
		undo := w.edit(name, func(b []byte) []byte { return b[:live(b)-700] })
		w.refuses(name, "damaged at byte", "were acknowledged", "restore this node from a backup or from its peers")
		undo()
		w.restarts()
	})
	t.Run("the end is zeros", func(t *testing.T) {
		w := begin(t)
		name := w.newest(wal)
		undo := w.edit(name, func(b []byte) []byte { clear(b[live(b)-2000:]); return b })
		w.refuses(name, "damaged at byte", "were acknowledged", "restore this node")
		undo()
		w.restarts()
	})
	t.Run("a save was not finished", func(t *testing.T) {
		w := begin(t)
		name := w.newest(wal)
		w.edit(name, func(b []byte) []byte {
			end := (live(b) + 7) &^ 7
			binary.LittleEndian.PutUint64(b[end:], 5000)
			copy(b[end+8:], "\x08\x02\x10\xff\xff\xff\xff\x0f\x1a\xfd\x26 the power went here")
			return b
		})
		from := len(w.server.Log())
		w.restarts()
		w.says(from, "was not finished", "cut off", name)
	})
	t.Run("a byte is flipped", func(t *testing.T) {
		w := begin(t)
		name := w.newest(wal)
		undo := w.edit(name, func(b []byte) []byte { b[live(b)/2] ^= 0x10; return b })
		w.refuses(name, "damaged at byte", "restore this node")
		undo()
		w.restarts()
	})
	t.Run("the length of the last record is flipped", func(t *testing.T) {
		w := begin(t)
		name := w.newest(wal)
		undo := w.edit(name, func(b []byte) []byte { b[lastFrame(b)+1] ^= 0x40; return b })
		w.refuses(name, "damaged at byte", "restore this node")
		undo()
		w.restarts()
	})
	t.Run("it is gone", func(t *testing.T) {
		w := begin(t)
		w.must(os.Rename(w.data("log"), w.data("elsewhere")))
		w.refuses(w.data("log"), "is missing", "restore both from the same backup")
		w.must(os.RemoveAll(w.data("log")))
		w.must(os.Rename(w.data("elsewhere"), w.data("log")))
		w.restarts()
	})
	t.Run("it is another server's", func(t *testing.T) {
		w, other := begin(t), begin(t)
		w.must(os.Rename(w.data("log"), w.data("elsewhere")))
		w.must(os.CopyFS(w.data("log"), os.DirFS(other.data("log"))))
		w.refuses(w.data("state"), "come from another log", "restore state and log from the same backup")
		w.must(os.RemoveAll(w.data("log")))
		w.must(os.Rename(w.data("elsewhere"), w.data("log")))
		w.restarts()
	})
	t.Run("it is another node's", func(t *testing.T) {
		w := begin(t)
		config := filepath.Join(w.server.Dir, "config.hcl")
		undo := w.edit(config, func(b []byte) []byte {
			return []byte(strings.Replace(string(b), `node_id = "one"`, `node_id = "two"`, 1))
		})
		w.refuses(w.data("log"), `belongs to node "one"`, `set node_id to "one"`)
		undo()
		w.restarts()
	})
}

// lastFrame is the offset of the last record's length.
func lastFrame(b []byte) int {
	at, last, end := 0, 0, live(b)
	for at < end {
		frame := binary.LittleEndian.Uint64(b[at:])
		last = at
		at += 8 + int(frame&(1<<56-1)) + int(frame>>56&7)
	}
	return last
}
