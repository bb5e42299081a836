package cluster_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/cluster"
)

func authorityKey(t *testing.T, a *cluster.Authority) crypto.PrivateKey {
	t.Helper()
	b, err := a.EncodeKey()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAuthorityIsKept(t *testing.T) {
	a := newAuthority(t, start)
	key, err := a.EncodeKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := cluster.DecodeAuthority(a.EncodeCertificate(), key)
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t}
	if i := w.identity(7, again, start); i.ID() != 7 || !bytes.Equal(i.Trusted()[0], a.Certificate()) {
		t.Errorf("it made %+v", i)
	}
	otherKey, err := newAuthority(t, start).EncodeKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, parts := range map[string][2][]byte{
		"another's key":         {a.EncodeCertificate(), otherKey},
		"no certificate":        {nil, key},
		"no key":                {a.EncodeCertificate(), nil},
		"the wrong way round":   {key, a.EncodeCertificate()},
		"something after it":    {append(a.EncodeCertificate(), "x"...), key},
		"half of a certificate": {a.EncodeCertificate()[:100], key},
	} {
		if _, err := cluster.DecodeAuthority(parts[0], parts[1]); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestIssue(t *testing.T) {
	a := newAuthority(t, start)
	i, err := cluster.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	der, err := a.Issue(i.PublicKey(), "node-1", 0xab, start)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.URIs[0].String(); got != "fastness://node/00000000000000ab" || len(c.URIs) != 1 || c.Subject.CommonName != "node-1" {
		t.Errorf("it is for %q, %q", got, c.Subject)
	}
	if c.IsCA || !c.NotAfter.Equal(start.Add(30*24*time.Hour)) || c.NotBefore.After(start) {
		t.Errorf("it is valid from %s to %s, an authority: %v", c.NotBefore, c.NotAfter, c.IsCA)
	}
	if i, err = i.With(der, [][]byte{a.Certificate()}); err != nil {
		t.Fatal(err)
	}
	left := c.NotAfter.Sub(i.Renewal())
	if third := c.NotAfter.Sub(c.NotBefore) / 3; left != third {
		t.Errorf("it is renewed %s before its end and not %s", left, third)
	}

	late := start.Add(10*365*24*time.Hour - 5*24*time.Hour)
	if der, err = a.Issue(i.PublicKey(), "node-1", 1, late); err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil || !c.NotAfter.Equal(start.Add(10*365*24*time.Hour)) {
		t.Errorf("it outlives its authority: %s, %v", c.NotAfter, err)
	}

	for name, test := range map[string]struct {
		key []byte
		id  uint64
		now time.Time
	}{
		"nobody's id":           {i.PublicKey(), 0, start},
		"no key":                {nil, 1, start},
		"a key of another kind": {public(t, func() (crypto.PublicKey, error) { k, _, err := ed25519.GenerateKey(rand.Reader); return k, err }), 1, start},
		"another curve": {public(t, func() (crypto.PublicKey, error) {
			k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			return k.Public(), err
		}), 1, start},
		"an authority that has ended": {i.PublicKey(), 1, start.Add(11 * 365 * 24 * time.Hour)},
	} {
		if _, err := a.Issue(test.key, "n", test.id, test.now); err == nil {
			t.Errorf("%s got a certificate", name)
		}
	}
}

func public(t *testing.T, draw func() (crypto.PublicKey, error)) []byte {
	t.Helper()
	key, err := draw()
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestIdentityIsKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := cluster.LoadIdentity(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	w := &town{t: t}
	a, b := newAuthority(t, start), newAuthority(t, start)
	fresh, err := cluster.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []*cluster.Identity{fresh, w.identity(0xfe, a, start), w.identity(0xfe, a, start, b)} {
		if err := i.Save(dir); err != nil {
			t.Fatal(err)
		}
		again, err := cluster.LoadIdentity(dir)
		if err != nil {
			t.Fatal(err)
		}
		if again.ID() != i.ID() || !bytes.Equal(again.PublicKey(), i.PublicKey()) || len(again.Trusted()) != len(i.Trusted()) || !again.Renewal().Equal(i.Renewal()) {
			t.Errorf("%d came back as %d", i.ID(), again.ID())
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the folder holds %v, %v", entries, err)
	}
	if info, err := entries[0].Info(); err != nil || info.Name() != "node.json" || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if err := fresh.Save(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there was written to")
	}
}

func TestDamagedIdentityIsRefused(t *testing.T) {
	w := &town{t: t}
	a := newAuthority(t, start)
	for name, change := range map[string]func(file map[string]any){
		"no key":              func(f map[string]any) { delete(f, "key") },
		"another raft id":     func(f map[string]any) { f["raft_id"] = "00000000000000ff" },
		"no raft id":          func(f map[string]any) { delete(f, "raft_id") },
		"no authority":        func(f map[string]any) { delete(f, "trusted") },
		"another authority":   func(f map[string]any) { f["trusted"] = []string{string(newAuthority(t, start).EncodeCertificate())} },
		"authority cut short": func(f map[string]any) { f["trusted"] = []string{"-----BEGIN"} },
		"certificate cut":     func(f map[string]any) { f["certificate"] = f["certificate"].(string)[:40] },
		"another's key": func(f map[string]any) {
			key, err := newAuthority(t, start).EncodeKey()
			if err != nil {
				t.Fatal(err)
			}
			f["key"] = string(key)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := w.identity(3, a, start).Save(dir); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "node.json")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var file map[string]any
			if err := json.Unmarshal(b, &file); err != nil {
				t.Fatal(err)
			}
			change(file)
			if b, err = json.Marshal(file); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = cluster.LoadIdentity(dir)
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Fatalf("it was read: %v", err)
			}
			if strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}
