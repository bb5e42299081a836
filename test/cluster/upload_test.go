package cluster

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// A snapshot to restore may be larger than other requests' bodies, on a node that
// others may join too.
func TestASnapshotMayBeLarge(t *testing.T) {
	n := newNode(t, build(t), "n1")
	var made struct {
		Keys []string `json:"keys"`
		Root string   `json:"root_token"`
	}
	n.ask("PUT", "sys/init", "", map[string]any{"secret_shares": 1, "secret_threshold": 1}, &made)
	n.ask("PUT", "sys/unseal", "", map[string]any{"key": made.Keys[0]}, nil)
	n.ask("POST", "sys/mounts/kv", made.Root, map[string]any{"type": "kv"}, nil)
	for i := range 40 {
		b := make([]byte, 675_000)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		n.ask("POST", fmt.Sprint("kv/", i), made.Root, map[string]any{"v": base64.StdEncoding.EncodeToString(b)}, nil)
	}
	exchange := func(method string, body []byte) (int, []byte) {
		r, err := http.NewRequest(method, "http://"+n.api+"/v1/sys/storage/raft/snapshot", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Vault-Token", made.Root)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, b
	}
	status, snapshot := exchange("GET", nil)
	if status != 200 || len(snapshot) < 33<<20 {
		t.Fatalf("saved %d bytes with %d: the test needs more than other bodies may have", len(snapshot), status)
	}
	n.ask("DELETE", "kv/7", made.Root, nil, nil)
	if status, b := exchange("POST", snapshot); status != 204 {
		t.Fatalf("restored with %d: %.300s", status, b)
	}
	n.ask("GET", "kv/7", made.Root, nil, nil)
}
