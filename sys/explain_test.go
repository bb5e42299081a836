package sys

import (
	"iter"

	"github.com/fastness-dev/fastness/access/policy"
	"github.com/fastness-dev/fastness/storage"
)

// people stand for the entities of a namespace.
type people struct{}

var everybody = []*Holder{
	{ID: "e1", Name: "ann", Policies: []string{"home", "team"}, Subject: policy.Subject{Entity: &policy.Entity{ID: "e1", Name: "ann"}}},
	{ID: "e2", Name: "bob", Policies: []string{"team"}, Subject: policy.Subject{Entity: &policy.Entity{ID: "e2", Name: "bob"}}},
	{ID: "e3", Name: "cyd", Policies: []string{"team"}, Subject: policy.Subject{Entity: &policy.Entity{ID: "e3", Name: "cyd"}}},
}

func (people) Holder(_ *storage.Tx, idOrName string) (*Holder, error) {
	for _, h := range everybody {
		if h.ID == idOrName || h.Name == idOrName {
			return h, nil
		}
	}
	return nil, nil
}

func (people) Holders(*storage.Tx) iter.Seq2[*Holder, error] {
	return func(yield func(*Holder, error) bool) {
		for _, h := range everybody {
			if !yield(h, nil) {
				return
			}
		}
	}
}
