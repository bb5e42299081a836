package password

import (
	"crypto/rand"
	"io"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Store keeps policies below "password/" of the range storage.Policies. The
// zero value draws from crypto/rand.
type Store struct {
	Random io.Reader
}

func rows(tx *storage.Tx) storage.Rows { return tx.In(storage.Policies) }

func (s Store) random() io.Reader {
	if s.Random == nil {
		return rand.Reader
	}
	return s.Random
}

// Parse reads a policy and tries it.
func (s Store) Parse(text string) (*Policy, error) { return Parse(text, s.random()) }

// Put stores a policy that was parsed.
func (Store) Put(tx *storage.Tx, name string, p *Policy) {
	rows(tx).Put("password/"+name, []byte(p.Text))
}

// Delete removes a policy.
func (Store) Delete(tx *storage.Tx, name string) { rows(tx).Delete("password/" + name) }

// Names lists the policies.
func (Store) Names(tx *storage.Tx) ([]string, error) {
	var names []string
	for n, err := range rows(tx).Children("password", "") {
		if err != nil {
			return nil, err
		}
		names = append(names, n)
	}
	return names, nil
}

// Get gives a policy, or nil.
func (Store) Get(tx *storage.Tx, name string) (*Policy, error) {
	b, err := rows(tx).Get("password/" + name)
	if err != nil || b == nil {
		return nil, err
	}
	return read(string(b))
}

// Generate draws a password of the policy with a name. ok is false when there is
// none.
func (s Store) Generate(tx *storage.Tx, name string) (password string, ok bool, err error) {
	p, err := s.Get(tx, name)
	if err != nil || p == nil {
		return "", false, err
	}
	password, err = p.Generate(s.random())
	return password, true, err
}

// usual is the policy of those who name none: what Vault's engines draw by.
const usual = `
length = 20
rule "charset" { charset = "abcdefghijklmnopqrstuvwxyz" min-chars = 1 }
rule "charset" { charset = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" min-chars = 1 }
rule "charset" { charset = "0123456789" min-chars = 1 }
rule "charset" { charset = "-" min-chars = 1 }
`

// Password draws a password for an engine: by the policy with a name, or by the
// usual one if it is "".
func (s Store) Password(tx *storage.Tx, name string) (string, error) {
	if name == "" {
		p, err := read(usual)
		if err != nil {
			return "", err
		}
		return p.Generate(s.random())
	}
	drawn, ok, err := s.Generate(tx, name)
	if err == nil && !ok {
		err = engine.Bad("password policy %q does not exist", name)
	}
	return drawn, err
}
