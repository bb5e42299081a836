package policy_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/storage"
)

// A shelf is a store of policies.
type shelf struct {
	t     *testing.T
	store *storage.Store
	*policy.Store
}

func newShelf(t *testing.T) *shelf {
	none := (&engine.Spec[struct{}]{Name: "none"}).Type()
	return &shelf{t, enginetest.New(t, none, nil).Store, policy.NewStore()}
}

func (s *shelf) put(name, rules string) {
	s.t.Helper()
	p, err := policy.Parse(name, rules)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.store.Update(context.Background(), func(tx *storage.Tx) error { s.Put(tx, p); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// held says which policies a token of a bearer comes to, and which of some paths
// it may read.
func (s *shelf) held(own string, b *policy.Bearer) (out string) {
	s.t.Helper()
	if err := s.store.View(context.Background(), func(tx *storage.Tx) error {
		h, err := s.Held(tx, strings.Fields(own), b)
		if err != nil {
			return err
		}
		again, err := s.Held(tx, strings.Fields(own), b)
		if h != again {
			s.t.Error("compiled anew")
		}
		out = fmt.Sprint(h.Policies)
		for _, path := range []string{"a", "b", "of/ann", "of/bob", "team/red"} {
			if h.Decide(policy.Query{Path: path, Op: policy.Read}).Allowed {
				out += " " + path
			}
		}
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return out
}

// What a token and its bearer hold adds up, templates of either are filled for
// the bearer, and a change of a policy is seen by the next question.
func TestHeldIsTokenAndBearerTogether(t *testing.T) {
	s := newShelf(t)
	s.put("a", `path "a" { capabilities = ["read"] }`)
	s.put("b", `path "b" { capabilities = ["read"] }`)
	s.put("own", `path "of/{{identity.entity.name}}" { capabilities = ["read"] } path "team/{{identity.entity.metadata.team}}" { capabilities = ["read"] }`)
	ann := &policy.Bearer{Policies: []string{"b", "own"}, Subject: policy.Subject{Entity: &policy.Entity{Name: "ann", Metadata: map[string]string{"team": "red"}}}}
	bob := &policy.Bearer{Subject: policy.Subject{Entity: &policy.Entity{Name: "bob"}}}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("held %q, want %q", got, want)
		}
	}
	want(s.held("a", nil), "[a] a")
	want(s.held("a own", nil), "[a own] a")
	want(s.held("a", ann), "[a b own] a b of/ann team/red")
	want(s.held("", ann), "[b own] b of/ann team/red")
	want(s.held("a own", bob), "[a own] a of/bob")
	want(s.held("a none", bob), "[a none] a")
	want(s.held("root", ann), "[root] a b of/ann of/bob team/red")
	s.put("b", `path "a" { capabilities = ["deny"] }`)
	want(s.held("a", ann), "[a b own] of/ann team/red")
	want(s.held("a", bob), "[a] a")
}
