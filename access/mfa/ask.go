package mfa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// A Challenge is what others have to be asked before a login goes on. It is
// asked between two transactions: before it a try is counted, so that nobody's
// telephone rings without end, and after it the tries are forgotten.
type Challenge struct {
	entity string
	asks   [][]*ask // one of each has to be answered with yes
	passed []*Method
}

// An ask is one question to one other.
type ask struct {
	m        *Method
	username string
	address  string // of the client
	passcode string
}

func (p *proof) ask(m *Method, code string) (*ask, error) {
	h, err := p.s.o.Identities.Holder(p.tx, p.who.EntityID)
	if err != nil {
		return nil, err
	}
	if h == nil {
		return nil, engine.Denied()
	}
	name, err := username(h.Subject, m.Username)
	if err != nil {
		return nil, engine.Listed(http.StatusForbidden, "the MFA method %s cannot tell who this is: %s", m.ID, err)
	}
	return &ask{m: m, username: name, address: p.who.Address, passcode: code}, nil
}

// begin counts a try of every method that will be asked, as if it had failed.
func (c *Challenge) begin(tx *storage.Tx, now time.Time) error {
	for _, group := range c.asks {
		for _, a := range group {
			row := triesRow(c.entity, a.m.ID)
			t, err := triesOf(tx, row, now)
			if err != nil {
				return err
			}
			if err := t.listening(a.m, now); err != nil {
				return err
			}
			t.fail(tx, row, a.m, now)
		}
	}
	return nil
}

// patience is how long an answer is waited for.
const patience = 90 * time.Second

// Ask asks. It holds no transaction. The refusal names what others said only
// where a person can do something about it.
func (s *Store) Ask(ctx context.Context, c *Challenge) error {
	ctx, done := context.WithTimeout(ctx, patience)
	defer done()
	for _, group := range c.asks {
		var failed error
		for _, a := range group {
			if failed = s.askOne(ctx, a); failed == nil {
				c.passed = append(c.passed, a.m)
				break
			}
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

func (s *Store) askOne(ctx context.Context, a *ask) error {
	var err error
	switch {
	case a.m.Duo != nil:
		err = s.askDuo(ctx, a)
	case a.m.Okta != nil:
		err = s.askOkta(ctx, a)
	case a.m.PingID != nil:
		err = s.askPingID(ctx, a)
	default:
		err = errors.New("the method is of no known type")
	}
	var no refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &no):
		return engine.Listed(http.StatusForbidden, "login MFA validation failed for methodID: [%s]: %s", a.m.ID, no)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return engine.Listed(http.StatusForbidden, "login MFA validation failed for methodID: [%s]: nobody answered in time", a.m.ID)
	}
	return fmt.Errorf("ask %s: %w", a.m.Type, err)
}

// Answered forgets the tries of the methods that were answered with yes, in the
// transaction that goes on with the login.
func (c *Challenge) Answered(tx *storage.Tx, now time.Time) error {
	for _, m := range c.passed {
		row := triesRow(c.entity, m.ID)
		t, err := triesOf(tx, row, now)
		if err != nil {
			return err
		}
		t.clear(tx, row)
	}
	return nil
}

// A refusal is a no, in words that are told.
type refusal string

func (r refusal) Error() string { return string(r) }

// maxReply bounds the answer of others, in bytes.
const maxReply = 1 << 20

// call sends a request to others and reads the answer. Redirects are answers:
// what was signed for one host is for no other.
func (s *Store) call(q *http.Request) (status int, body []byte, err error) {
	client := *s.o.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	r, err := client.Do(q)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = r.Body.Close() }()
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(r.Body, maxReply)); err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return r.StatusCode, b.Bytes(), nil
}

// pause waits a moment between two looks.
func (s *Store) pause(ctx context.Context) error {
	t := time.NewTimer(s.o.Pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// checkHost refuses what is not the name of a host, so that a setting cannot
// carry a request elsewhere.
func checkHost(field, host string) error {
	if host == "" || len(host) > 253 || strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != ':' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return engine.Bad("'%s' must be the name of a host", field)
	}
	return nil
}
