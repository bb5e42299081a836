package server

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/storage/kv"
	"github.com/fastness-dev/fastness/storage/raft"
	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

func TestMetricsTellWhenAKeeperLastGaveBackTheRootKey(t *testing.T) {
	kms, ctx := sealtest.New("kms"), context.Background()
	s, err := New(Options{State: kv.NewMemory(), Log: raft.NewMemory(), Seals: seal.NewSet([]*seal.Member{kms.Member(1)}, nil)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := s.sys.Init(ctx, 1, 1, nil, "", true); err != nil {
		t.Fatal(err)
	}
	page := func() string {
		t.Helper()
		s.sys.TendSeals(ctx)
		b, err := s.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, want := range []string{`fastness_seal_healthy{seal="kms",type="test"} 1`, `fastness_seal_healthy{seal="shares",type="shamir"} 1`,
		`fastness_seal_self_test_age_seconds{seal="kms",type="test"} `} {
		if got := page(); !strings.Contains(got, want) {
			t.Errorf("%q is not on the page:\n%s", want, got)
		}
	}
	kms.Away(true)
	if got := page(); !strings.Contains(got, `fastness_seal_healthy{seal="kms",type="test"} 0`) {
		t.Error(got)
	}
}

func TestTheSealsOfAConfiguration(t *testing.T) {
	opened := map[string]string{} // name of a setting's owner: what it says
	kind := seal.Kind{Type: "test", Open: func(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
		w := sealtest.New(s.Need("key", "VAULT_TEST_KEY"))
		opened[w.Name] = s.Text("region", "VAULT_TEST_REGION")
		return w, s.Err()
	}}
	env := func(name string) string {
		return map[string]string{"VAULT_TEST_REGION": "vault", "FASTNESS_TEST_REGION": "fastness"}[name]
	}
	stanza := func(line int, name, key string) config.Seal {
		return config.Seal{Pos: config.Position{File: "c.hcl", Line: line}, Type: "test", Name: name, Priority: line, Settings: map[string]string{"key": key, "region": "file"}}
	}
	open := func(stanzas ...config.Seal) (*seal.Set, error) {
		clear(opened)
		return OpenSeals(stanzas, []seal.Kind{kind}, env, slog.New(slog.DiscardHandler))
	}
	if set, err := open(stanza(1, "one", "a"), config.Seal{Type: "shamir"}); err != nil || !set.Auto() || set.Type() != "test" || opened["a"] != "fastness" {
		t.Errorf("the environment does not win: %v, %v", opened, err)
	}
	if _, err := open(stanza(1, "one", "a"), stanza(2, "two", "b")); err != nil || opened["a"] != "file" || opened["b"] != "file" {
		t.Errorf("of two stanzas of a type the environment means neither: %v, %v", opened, err)
	}
	_, err := open(stanza(1, "one", ""), config.Seal{Type: "kmip", Name: "kmip"})
	if err == nil || !strings.Contains(err.Error(), `c.hcl:1: seal "one": "key" is missing`) || !strings.Contains(err.Error(), `this build has no seal of type "kmip"`) {
		t.Error(err)
	}
	if set, err := open(); err != nil || set.Auto() || set.Type() != seal.Shamir {
		t.Error(err)
	}
}
