package mfa

import (
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// Prove checks what was sent against rules, in the transaction of what they
// guard: codes at once. What others have to be asked about is returned, to be
// asked outside of the transaction. w is the login that waits, if one does.
//
// A failure is counted even if the transaction fails, and a code that was taken
// is used up. The transaction must be one that may write.
func (s *Store) Prove(tx *storage.Tx, who Subject, w *Waiting, rules Rules, sent []Credential, now time.Time) (*Challenge, error) {
	all, err := s.visible(tx)
	if err != nil {
		return nil, err
	}
	codes, err := given(all, sent)
	if err != nil {
		return nil, err
	}
	p := &proof{s: s, tx: tx, who: who, w: w, now: now, codes: codes, done: map[string]error{}}
	c := &Challenge{entity: who.EntityID}
	for _, r := range rules {
		asks, err := p.satisfy(r)
		if err != nil {
			return nil, err
		}
		if len(asks) > 0 {
			c.asks = append(c.asks, asks)
		}
	}
	if len(c.asks) == 0 {
		return nil, nil
	}
	return c, c.begin(tx, now)
}

// A proof is one request's.
type proof struct {
	s     *Store
	tx    *storage.Tx
	who   Subject
	w     *Waiting
	now   time.Time
	codes map[string]string // by method
	done  map[string]error  // by TOTP method: a code is looked at once
}

// satisfy returns nothing when a rule is satisfied, or who is to be asked about
// it.
func (p *proof) satisfy(r rule) (asks []*ask, err error) {
	failed := errFailed(r)
	if p.who.EntityID == "" {
		return nil, failed
	}
	for _, m := range r.methods {
		code, sent := p.codes[m.ID]
		switch {
		case !sent:
		case m.TOTP == nil:
			a, err := p.ask(m, code)
			if err != nil {
				return nil, err
			}
			asks = append(asks, a)
		default:
			err, looked := p.done[m.ID]
			if !looked {
				err = p.totp(m, code)
				p.done[m.ID] = err
			}
			if err == nil {
				return nil, nil
			}
			failed = err
		}
	}
	if len(asks) == 0 {
		return nil, failed
	}
	return asks, nil
}

func errFailed(r rule) error {
	ids := make([]string, 0, len(r.methods))
	for _, m := range r.methods {
		ids = append(ids, m.ID)
	}
	return engine.Listed(http.StatusForbidden, "login MFA validation failed for methodID: [%s]", strings.Join(ids, " "))
}

// totp checks a code. Who has no secret is told what one with a wrong code is,
// after the same work.
func (p *proof) totp(m *Method, code string) error {
	row := triesRow(p.who.EntityID, m.ID)
	t, err := triesOf(p.tx, row, p.now)
	if err != nil {
		return err
	}
	if err := t.listening(m, p.now); err != nil {
		return err
	}
	k, err := secrets(p.tx, p.who.EntityID).Get(m.ID)
	if err != nil {
		return err
	}
	if k == nil && p.w != nil {
		k = p.w.Enrolling[m.ID]
	}
	known := k != nil
	if !known {
		k = m.TOTP.nobodys()
	}
	period, right := k.find(code, m.TOTP.Skew, p.now)
	switch {
	case !known || !right:
		err = errFailed(rule{methods: []*Method{m}})
	case period <= k.Last:
		next := time.Unix((k.Last+1)*int64(k.Period), 0).Sub(p.now)
		err = engine.Listed(http.StatusForbidden, "code already used; new code is available in %d seconds", max(1, int64(next/time.Second)))
	default:
		k.Last = period
		p.tx.Always(func() { secrets(p.tx, p.who.EntityID).Put(m.ID, k) })
		t.clear(p.tx, row)
		return nil
	}
	p.tx.Always(func() { t.fail(p.tx, row, m, p.now) })
	return err
}
