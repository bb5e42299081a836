package mfa

import (
	"fmt"
	"strings"

	"github.com/fastness-dev/fastness/schedule"
	"github.com/fastness-dev/fastness/storage"
)

// KindSweep is the kind of the job that removes the secrets of a method that was
// deleted. Its id is the method, then a slash and the last entity that was done.
const KindSweep = "mfa-sweep"

// inOne is how many entities one transaction looks at.
const inOne = 128

// end has the secrets of a method removed, in all the namespaces that could use
// it.
func (s *Store) end(method string, in []*storage.Tx) {
	for _, tx := range in {
		schedule.At(tx, s.o.Now(), schedule.Job{Kind: KindSweep, ID: method + "/"})
	}
}

func (s *Store) sweep(tx *storage.Tx, j schedule.Job) error {
	method, after, _ := strings.Cut(j.ID, "/")
	n := 0
	for entity, err := range tx.In(storage.Factors).Children("secret", after) {
		if err != nil {
			return fmt.Errorf("list the secrets of entities: %w", err)
		}
		if n++; n > inOne {
			schedule.At(tx, s.o.Now(), schedule.Job{Kind: KindSweep, ID: method + "/" + after})
			return nil
		}
		after = entity
		secrets(tx, strings.TrimSuffix(entity, "/")).Delete(method)
	}
	return nil
}
