package mfa

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"image/png"
	"io"
	"net/url"
	"strconv"

	"github.com/pquerna/otp"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

func enrolRoutes() engine.Routes[Store] {
	return engine.Routes[Store]{
		engine.Write("mfa/method/totp/generate", (*Store).generate).Doc("Make the caller's own secret of a TOTP method."),
		engine.Write("mfa/method/totp/admin-generate", (*Store).adminGenerate).Doc("Make the secret of an entity."),
		engine.Write("mfa/method/totp/admin-destroy", (*Store).adminDestroy).Doc("Destroy the secret of an entity."),
		engine.Write("mfa/method/totp/self-enroll", (*Store).selfEnrol).Public().Doc("Make the secret of who is logging in, and has none."),
	}
}

type (
	ownSecret struct {
		ID string `json:"method_id" required:"true" doc:"Id of the method."`
	}
	entitySecret struct {
		ID     string `json:"method_id" required:"true" doc:"Id of the method."`
		Entity string `json:"entity_id" required:"true" doc:"Id of the entity."`
	}
	waitingSecret struct {
		ID      string `json:"mfa_method_id" required:"true" doc:"Id of the method."`
		Request string `json:"mfa_request_id" required:"true" doc:"Id of the login that waits."`
	}
)

// An enrolment is what an authenticator is given: a picture (PNG in base64) and
// the same as text.
type enrolment struct {
	Barcode string `json:"barcode"`
	URL     string `json:"url"`
}

func (s *Store) generate(v engine.Tx, q ownSecret) (*enrolment, error) {
	if v.Caller().EntityID == "" {
		return nil, engine.Bad("the token is of no entity, so it cannot have a secret")
	}
	return s.give(v, q.ID, v.Caller().EntityID)
}

func (s *Store) adminGenerate(v engine.Tx, q entitySecret) (*enrolment, error) {
	return s.give(v, q.ID, q.Entity)
}

// give makes the secret of an entity. One that is there already is not told
// again, and stays.
func (s *Store) give(v engine.Tx, id, entity string) (*enrolment, error) {
	m, entity, err := s.subject(whole(v), id, entity)
	if err != nil {
		return nil, err
	}
	old, err := secrets(whole(v), entity).Get(m.ID)
	if err != nil {
		return nil, err
	}
	if old != nil {
		v.Warn("Entity already has a secret for MFA method %q", nameOf(m))
		return nil, nil
	}
	k, e, err := s.draw(m, entity)
	if err != nil {
		return nil, err
	}
	secrets(whole(v), entity).Put(m.ID, k)
	return e, nil
}

func nameOf(m *Method) string {
	if m.Name != "" {
		return m.Name
	}
	return m.ID
}

// subject finds what a secret is of: a TOTP method, and an entity under the id
// that it has after merges.
func (s *Store) subject(tx *storage.Tx, id, entity string) (*Method, string, error) {
	all, err := s.visible(tx)
	if err != nil {
		return nil, "", err
	}
	var m *Method
	for _, v := range all {
		if m == nil {
			m = v.methods[id]
		}
	}
	if m == nil || m.TOTP == nil {
		return nil, "", engine.Bad("'method_id' is not that of a TOTP method")
	}
	h, err := s.o.Identities.Holder(tx, entity)
	if err != nil {
		return nil, "", err
	}
	if h == nil {
		return nil, "", engine.Bad("'entity_id' is not that of an entity")
	}
	return m, h.ID, nil
}

func (s *Store) adminDestroy(v engine.Tx, q entitySecret) (engine.None, error) {
	m, entity, err := s.subject(whole(v), q.ID, q.Entity)
	if err != nil {
		return engine.None{}, err
	}
	secrets(whole(v), entity).Delete(m.ID)
	return engine.None{}, nil
}

// selfEnrol gives a secret to who is logging in. It is theirs from the moment
// that a code of it was taken: who never scanned it can begin anew.
func (s *Store) selfEnrol(v engine.Tx, q waitingSecret) (*enrolment, error) {
	w, err := s.Waits(whole(v), q.Request, v.Now())
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, errRequest()
	}
	m, entity, err := s.subject(whole(v), q.ID, w.EntityID)
	if err != nil {
		return nil, err
	}
	rules, err := s.Required(whole(v), w.subject())
	if err != nil {
		return nil, err
	}
	if !m.TOTP.SelfEnrol || !rules.takes(m) {
		return nil, engine.Bad("'mfa_method_id' is not that of a method that this login can be enrolled in")
	}
	old, err := secrets(whole(v), entity).Get(m.ID)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, engine.Bad("there is a secret of this method already: use it, or have it destroyed")
	}
	k, e, err := s.draw(m, entity)
	if err != nil {
		return nil, err
	}
	if w.Enrolling == nil {
		w.Enrolling = map[string]*Secret{}
	}
	w.Enrolling[m.ID] = k
	w.put(whole(v))
	return e, nil
}

// draw makes a secret.
func (s *Store) draw(m *Method, entity string) (*Secret, *enrolment, error) {
	t := m.TOTP
	k := t.nobodys()
	if _, err := io.ReadFull(s.o.Rand, k.Key); err != nil {
		return nil, nil, fmt.Errorf("draw a secret: %w", err)
	}
	q := url.Values{"algorithm": {t.Algorithm}, "digits": {strconv.Itoa(t.Digits)}, "issuer": {t.Issuer},
		"period": {strconv.Itoa(t.Period)}, "secret": {base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(k.Key)}}
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + t.Issuer + ":" + entity, RawQuery: q.Encode()}
	e := &enrolment{URL: u.String()}
	if t.QRSize == 0 {
		return k, e, nil
	}
	var err error
	if e.Barcode, err = barcode(e.URL, t.QRSize); err != nil {
		return nil, nil, fmt.Errorf("draw the barcode: %w", err)
	}
	return k, e, nil
}

func barcode(text string, size int) (string, error) {
	key, err := otp.NewKeyFromURL(text)
	if err != nil {
		return "", err
	}
	picture, err := key.Image(size, size)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}
