package policy

import "github.com/fastness-dev/fastness/storage"

// For compiles the named policies for a subject without keeping the result, for
// questions that are asked once. instead, if not nil, is taken for the policy of
// its name. Unknown policies grant nothing.
func (s *Store) For(tx *storage.Tx, names []string, of Subject, instead *Policy) (*ACL, error) {
	var list []*Policy
	for _, n := range names {
		p, err := s.Get(tx, n)
		switch {
		case err != nil:
			return nil, err
		case n == rootName:
			p = Root()
		case instead != nil && n == instead.Name:
			p = instead
		case p == nil:
			continue
		}
		p, _ = p.Render(of)
		list = append(list, p)
	}
	return Compile(list), nil
}

// Literally is a policy whose templates stand for themselves: what it says rather
// than what it gives.
func (p *Policy) Literally() *Policy {
	q := *p
	q.Templated = false
	return &q
}

// Names are the policies that the ACL is made of.
func (a *ACL) Names() []string { return append([]string{}, a.names...) }
