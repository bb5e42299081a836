package attacks

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever runs the API makes no program of an audit file: it has no execute
// bit and begins with no text of the caller's that a system would run.
func TestCVE_2025_6000_AuditFileMadeIntoAProgram(t *testing.T) {
	w := open(t)
	dir := t.TempDir()
	for i, options := range []string{`"mode":"0755"`, `"mode":"0777"`, `"mode":"0100"`, `"mode":"0644","prefix":"#!/bin/sh\nid\n"`, `"mode":"4755"`} {
		file := filepath.Join(dir, string(rune('a'+i)))
		w.do(w.root, http.MethodPut, "sys/audit/"+string(rune('a'+i)), `{"type":"file","options":{"file_path":"`+file+`",`+options+`}}`)
		info, err := os.Stat(file)
		if err != nil {
			continue // refused
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o111 != 0 || info.Mode()&os.ModeSetuid != 0 || strings.HasPrefix(string(text), "#!") {
			t.Errorf("%s made a file of mode %s that begins %.20q", options, info.Mode(), text)
		}
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.do(w.root, http.MethodPut, "sys/audit/over", `{"type":"file","options":{"file_path":"`+program+`"}}`)
	if text, err := os.ReadFile(program); err != nil || string(text) != "#!/bin/sh\n" {
		t.Errorf("the program now is %q, %v", text, err)
	}
	if _, err := os.Stat(w.auditFile()); err != nil {
		t.Errorf("an ordinary device: %v", err)
	}
}

// A device that shows secrets as they are shows them to itself only.
func TestCVE_2024_0831_RawAuditOfOneDeviceIsTheOthers(t *testing.T) {
	w := open(t)
	hashed := w.auditFile()
	raw := filepath.Join(t.TempDir(), "raw.log")
	w.want(w.do(w.root, http.MethodPut, "sys/audit/raw", `{"type":"file","options":{"log_raw":"true","file_path":"`+raw+`"}}`), 204)
	w.want(w.do(w.root, http.MethodPost, "secret/data/a", `{"data":{"x":"`+canary+`"}}`), 200)
	text, err := os.ReadFile(hashed)
	if err != nil {
		t.Fatal(err)
	}
	shown(t, "the hashed device", string(text))
	// One device that has written is enough for an answer: the other has when it ends.
	w.want(w.do(w.root, http.MethodDelete, "sys/audit/raw", ""), 204)
	if text, err = os.ReadFile(raw); err != nil || !strings.Contains(string(text), canary) {
		t.Errorf("the raw device does not show what it was told to: %v", err)
	}
}
