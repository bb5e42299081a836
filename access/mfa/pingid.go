package mfa

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// A PingID is the settings of a method that asks PingID, as its settings file
// says them.
type PingID struct {
	Key              []byte `json:"key"`
	Token            string `json:"token"`
	OrgAlias         string `json:"org_alias"`
	UseSignature     bool   `json:"use_signature"`
	IDPURL           string `json:"idp_url"`
	AdminURL         string `json:"admin_url"`
	AuthenticatorURL string `json:"authenticator_url"`
}

type shownPingID struct {
	shown
	Username         string `json:"username_format"`
	UseSignature     bool   `json:"use_signature"`
	IDPURL           string `json:"idp_url"`
	AdminURL         string `json:"admin_url"`
	AuthenticatorURL string `json:"authenticator_url"`
	OrgAlias         string `json:"org_alias"`
}

type (
	pingIDRequest struct {
		common
		Username *string `json:"username_format" doc:"Template of the name that PingID knows an entity by; by default {{identity.entity.name}}."`
		Settings *string `json:"settings_file_base64" secret:"true" doc:"The settings file of the organisation, in base64; required."`
	}
	pingIDByID struct {
		Path string `path:"method_id"`
		pingIDRequest
	}
)

func (s *Store) changePingID(v engine.Tx, q pingIDByID) (*madeMethod, error) {
	return s.writePingID(v, q.Path, q.pingIDRequest)
}

func (s *Store) writePingID(v engine.Tx, inPath string, q pingIDRequest) (*madeMethod, error) {
	m, err := s.open(v, inPath, q.common, typePingID)
	if err != nil {
		return nil, err
	}
	changed := m.PingID != nil
	set(&m.Username, q.Username)
	if q.Settings != nil {
		if m.PingID, err = readSettings(*q.Settings); err != nil {
			return nil, engine.Bad("'settings_file_base64': %s", err)
		}
	}
	if m.PingID == nil {
		return nil, engine.Bad("settings_file_base64 is empty")
	}
	if err := checkUsername(m.Username); err != nil {
		return nil, err
	}
	return s.store(v, m, changed)
}

// readSettings reads a settings file: lines of name=value. What is wrong with it
// is told without quoting it.
func readSettings(file string) (*PingID, error) {
	text, err := base64.StdEncoding.DecodeString(file)
	if err != nil {
		return nil, errors.New("it is not base64")
	}
	p := &PingID{UseSignature: true}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		switch strings.TrimSpace(name) {
		case "use_base64_key":
			if p.Key, err = base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err != nil {
				return nil, errors.New("its use_base64_key is not base64")
			}
		case "use_signature":
			if p.UseSignature, err = strconv.ParseBool(strings.TrimSpace(value)); err != nil {
				return nil, errors.New("its use_signature is neither true nor false")
			}
		case "token":
			p.Token = value
		case "org_alias":
			p.OrgAlias = value
		case "idp_url":
			p.IDPURL = strings.ReplaceAll(value, `\:`, ":") // as Java writes it
		case "admin_url":
			p.AdminURL = strings.ReplaceAll(value, `\:`, ":")
		case "authenticator_url":
			p.AuthenticatorURL = strings.ReplaceAll(value, `\:`, ":")
		}
	}
	switch u, err := url.Parse(p.IDPURL); {
	case len(p.Key) == 0:
		return nil, errors.New("it has no use_base64_key")
	case p.Token == "" || p.OrgAlias == "":
		return nil, errors.New("it has no token or no org_alias")
	case err != nil || u.Scheme != "https" || u.Host == "":
		return nil, errors.New("its idp_url is no https URL")
	}
	return p, nil
}

// What PingID is sent and answers, inside of a JWT.
type (
	pingHead struct {
		Locale    string `json:"locale"`
		OrgAlias  string `json:"orgAlias"`
		SecretKey string `json:"secretKey"`
		Timestamp string `json:"timestamp"`
		Version   string `json:"version"`
	}
	pingBody struct {
		SPAlias  string `json:"spAlias"`
		UserName string `json:"userName"`
		AuthType string `json:"authType"`
	}
	pingQuery struct {
		Head pingHead `json:"reqHeader"`
		Body pingBody `json:"reqBody"`
	}
	pingReply struct {
		Body struct {
			ErrorID int `json:"errorId"`
		} `json:"responseBody"`
	}
)

// pingApproved is the errorId of a push that was approved.
const pingApproved = 200

// askPingID asks once: PingID answers when the user has.
func (s *Store) askPingID(ctx context.Context, a *ask) error {
	p := a.m.PingID
	sent, err := p.sign(pingQuery{
		Head: pingHead{Locale: "en", OrgAlias: p.OrgAlias, SecretKey: p.Token, Version: "4.9",
			Timestamp: s.o.Now().UTC().Format("2006-01-02 15:04:05.000")},
		Body: pingBody{SPAlias: "web", UserName: a.username, AuthType: "CONFIRM"},
	})
	if err != nil {
		return err
	}
	at := strings.TrimSuffix(p.IDPURL, "/") + "/rest/4/authonline/do"
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, at, strings.NewReader(sent))
	if err != nil {
		return fmt.Errorf("make a request to PingID: %w", err)
	}
	q.Header.Set("Content-Type", "application/json")
	status, body, err := s.call(q)
	if err != nil {
		return err
	}
	if status/100 != 2 && status/100 != 4 {
		return fmt.Errorf("pingid answered with status %d", status)
	}
	var r pingReply
	if err := p.open(strings.TrimSpace(string(body)), &r); err != nil {
		return err
	}
	if r.Body.ErrorID != pingApproved {
		return refusal("PingID denies the login")
	}
	return nil
}

// sign makes a JWT (HS256) of a request.
func (p *PingID) sign(v any) (string, error) {
	head, err := json.Marshal(struct {
		Alg      string `json:"alg"`
		OrgAlias string `json:"org_alias"`
		Token    string `json:"token"`
	}{"HS256", p.OrgAlias, p.Token})
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	return text + "." + base64.RawURLEncoding.EncodeToString(p.mac(text)), nil
}

func (p *PingID) mac(text string) []byte {
	mac := hmac.New(sha256.New, p.Key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// open reads a JWT that is signed with our key; its head is believed nothing.
func (p *PingID) open(jwt string, to any) error {
	i := strings.LastIndexByte(jwt, '.')
	if i < 0 {
		return errors.New("pingid's answer is no JWT")
	}
	sum, err := base64.RawURLEncoding.DecodeString(jwt[i+1:])
	if err != nil || !hmac.Equal(sum, p.mac(jwt[:i])) {
		return errors.New("pingid's answer is not signed with the organisation's key")
	}
	_, body, _ := strings.Cut(jwt[:i], ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return errors.New("pingid's answer is no JWT")
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("decode PingID's answer: %w", err)
	}
	return nil
}
