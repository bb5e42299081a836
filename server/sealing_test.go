package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The answer to sealing is on record, and so is every answer given after: what
// cannot be recorded is not given.
func TestSealingIsOnRecord(t *testing.T) {
	w := open(t)
	log := filepath.Join(t.TempDir(), "audit.log")
	if a := w.do(w.root, "PUT", "sys/audit/file", `{"type":"file","options":{"file_path":"`+log+`"}}`); a.Status != 204 {
		t.Fatal(a)
	}
	if a := w.do(w.root, "PUT", "sys/seal", ""); a.Status != 204 {
		t.Fatal(a)
	}
	if a := w.do(w.root, "GET", "secret/data/a", ""); a.Status != 503 {
		t.Fatal("sealed, yet:", a)
	}
	if err := w.s.System().Unseal(t.Context(), w.key); err != nil { // waits for the devices of the life before
		t.Fatal(err)
	}
	b, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := lines[len(lines)-1]
	if !strings.Contains(last, `"type":"response"`) || !strings.Contains(last, `"path":"sys/seal"`) {
		t.Errorf("the last line before the unseal is not the answer to sys/seal: %s", last)
	}
	w.do(w.root, "GET", "secret/data/a", "")
	if after, err := os.ReadFile(log); err != nil || len(after) <= len(b) {
		t.Errorf("nothing is recorded after the unseal: %v", err)
	}
}
