package mfa

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// An Okta is the settings of a method that pushes by Okta (its API, version 1).
type Okta struct {
	Org          string `json:"org"`
	Token        string `json:"token"`
	BaseURL      string `json:"base_url"` // host, without the organisation
	PrimaryEmail bool   `json:"primary_email"`
}

type shownOkta struct {
	shown
	Username     string `json:"username_format"`
	Org          string `json:"org_name"`
	BaseURL      string `json:"base_url"`
	PrimaryEmail bool   `json:"primary_email"`
}

type (
	oktaRequest struct {
		common
		Username     *string `json:"username_format" doc:"Template of the name that Okta knows an entity by; by default {{identity.entity.name}}."`
		Org          *string `json:"org_name" doc:"Name of the organisation; required."`
		Token        *string `json:"api_token" secret:"true" doc:"Token for the API; required."`
		BaseURL      *string `json:"base_url" doc:"Domain of the API; okta.com by default."`
		Production   *bool   `json:"production" doc:"Whether okta.com (by default) or oktapreview.com is asked, if base_url is not set."`
		PrimaryEmail *bool   `json:"primary_email" doc:"Whether the name has to be the user's primary e-mail address."`
	}
	oktaByID struct {
		Path string `path:"method_id"`
		oktaRequest
	}
)

func (s *Store) changeOkta(v engine.Tx, q oktaByID) (*madeMethod, error) {
	return s.writeOkta(v, q.Path, q.oktaRequest)
}

func (s *Store) writeOkta(v engine.Tx, inPath string, q oktaRequest) (*madeMethod, error) {
	m, err := s.open(v, inPath, q.common, typeOkta)
	if err != nil {
		return nil, err
	}
	o, changed := Okta{BaseURL: "okta.com"}, m.Okta != nil
	if changed {
		o = *m.Okta
	}
	if q.Production != nil {
		o.BaseURL = map[bool]string{true: "okta.com", false: "oktapreview.com"}[*q.Production]
	}
	set(&m.Username, q.Username)
	set(&o.Org, q.Org)
	set(&o.Token, q.Token)
	set(&o.PrimaryEmail, q.PrimaryEmail)
	if q.BaseURL != nil && *q.BaseURL != "" {
		o.BaseURL = strings.TrimPrefix(*q.BaseURL, "https://")
	}
	if o.Token == "" {
		return nil, engine.Bad("api_token must be set")
	}
	if err := checkHost("org_name", o.Org); err != nil {
		return nil, err
	}
	if err := checkHost("base_url", o.BaseURL); err != nil {
		return nil, err
	}
	if err := checkUsername(m.Username); err != nil {
		return nil, err
	}
	m.Okta = &o
	return s.store(v, m, changed)
}

type oktaUser struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Profile struct {
		Email string `json:"email"`
	} `json:"profile"`
}

type oktaFactor struct {
	ID       string `json:"id"`
	Type     string `json:"factorType"`
	Provider string `json:"provider"`
	Status   string `json:"status"`
}

type oktaVerify struct {
	Result string `json:"factorResult"`
	Links  struct {
		Poll struct {
			Href string `json:"href"`
		} `json:"poll"`
	} `json:"_links"`
}

// askOkta finds the user and their push factor, and looks at the push until it is
// answered.
func (s *Store) askOkta(ctx context.Context, a *ask) error {
	o := a.m.Okta
	base := "https://" + o.Org + "." + o.BaseURL
	users := base + "/api/v1/users/"
	var u oktaUser
	if err := s.okta(ctx, o, http.MethodGet, users+url.PathEscape(a.username), &u); err != nil {
		return err
	}
	if u.ID == "" || u.Status != "ACTIVE" || o.PrimaryEmail && !strings.EqualFold(u.Profile.Email, a.username) {
		return refusal("Okta knows no such active user")
	}
	factors := users + url.PathEscape(u.ID) + "/factors"
	var list []oktaFactor
	if err := s.okta(ctx, o, http.MethodGet, factors, &list); err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(f oktaFactor) bool {
		return f.Type == "push" && f.Provider == "OKTA" && f.Status == "ACTIVE" && f.ID != ""
	})
	if i < 0 {
		return refusal("the user has no push factor at Okta")
	}
	var v oktaVerify
	if err := s.okta(ctx, o, http.MethodPost, factors+"/"+url.PathEscape(list[i].ID)+"/verify", &v); err != nil {
		return err
	}
	poll := v.Links.Poll.Href
	for v.Result == "WAITING" {
		if !strings.HasPrefix(poll, base+"/") { // the token is for nobody else
			return fmt.Errorf("okta names another host to ask")
		}
		if err := s.pause(ctx); err != nil {
			return err
		}
		v.Result = ""
		if err := s.okta(ctx, o, http.MethodGet, poll, &v); err != nil {
			return err
		}
	}
	if v.Result != "SUCCESS" {
		return refusal("the push was not approved")
	}
	return nil
}

func (s *Store) okta(ctx context.Context, o *Okta, method, at string, to any) error {
	q, err := http.NewRequestWithContext(ctx, method, at, http.NoBody)
	if err != nil {
		return fmt.Errorf("make a request to Okta: %w", err)
	}
	q.Header.Set("Authorization", "SSWS "+o.Token)
	q.Header.Set("Accept", "application/json")
	q.Header.Set("Content-Type", "application/json")
	status, body, err := s.call(q)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return refusal("Okta knows no such active user")
	case status == http.StatusTooManyRequests:
		return refusal("Okta was asked too often")
	case status/100 != 2:
		return fmt.Errorf("okta answered with status %d", status)
	}
	if err := json.Unmarshal(body, to); err != nil {
		return fmt.Errorf("decode Okta's answer: %w", err)
	}
	return nil
}
