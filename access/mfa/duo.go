package mfa

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what Duo's signatures are of
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// A Duo is the settings of a method that asks Duo (its Auth API, version 2).
type Duo struct {
	Secret      string `json:"secret"`
	Integration string `json:"integration"`
	Host        string `json:"host"`
	PushInfo    string `json:"push_info"`
	UsePasscode bool   `json:"use_passcode"`
}

type shownDuo struct {
	shown
	Username    string `json:"username_format"`
	Integration string `json:"integration_key"`
	Host        string `json:"api_hostname"`
	PushInfo    string `json:"pushinfo"`
	UsePasscode bool   `json:"use_passcode"`
}

type (
	duoRequest struct {
		common
		Username    *string `json:"username_format" doc:"Template of the name that Duo knows an entity by; by default {{identity.entity.name}}."`
		Secret      *string `json:"secret_key" secret:"true" doc:"Secret key; required."`
		Integration *string `json:"integration_key" doc:"Integration key; required."`
		Host        *string `json:"api_hostname" doc:"Host of the API; required."`
		PushInfo    *string `json:"push_info" doc:"What a push shows, as the query of a URL."`
		UsePasscode *bool   `json:"use_passcode" doc:"Whether people are asked for a passcode."`
	}
	duoByID struct {
		Path string `path:"method_id"`
		duoRequest
	}
)

func (s *Store) changeDuo(v engine.Tx, q duoByID) (*madeMethod, error) {
	return s.writeDuo(v, q.Path, q.duoRequest)
}

func (s *Store) writeDuo(v engine.Tx, inPath string, q duoRequest) (*madeMethod, error) {
	m, err := s.open(v, inPath, q.common, typeDuo)
	if err != nil {
		return nil, err
	}
	d, changed := Duo{}, m.Duo != nil
	if changed {
		d = *m.Duo
	}
	set(&m.Username, q.Username)
	set(&d.Secret, q.Secret)
	set(&d.Integration, q.Integration)
	set(&d.Host, q.Host)
	set(&d.PushInfo, q.PushInfo)
	set(&d.UsePasscode, q.UsePasscode)
	switch {
	case d.Secret == "":
		return nil, engine.Bad("secret_key is empty")
	case d.Integration == "":
		return nil, engine.Bad("integration_key is empty")
	}
	if err := checkHost("api_hostname", d.Host); err != nil {
		return nil, err
	}
	if _, err := url.ParseQuery(d.PushInfo); err != nil {
		return nil, engine.Bad("'push_info' must be the query of a URL")
	}
	if err := checkUsername(m.Username); err != nil {
		return nil, err
	}
	m.Duo = &d
	return s.store(v, m, changed)
}

// duoReply is what Duo answers, of all its calls.
type duoReply struct {
	Stat     string `json:"stat"`
	Message  string `json:"message"`
	Response struct {
		Result string `json:"result"`
		Status string `json:"status_msg"`
		TxID   string `json:"txid"`
	} `json:"response"`
}

// askDuo asks whether the user needs a second factor, then for it: a passcode, or
// a push that is looked at until it is answered.
func (s *Store) askDuo(ctx context.Context, a *ask) error {
	r, err := s.duo(ctx, a.m.Duo, http.MethodPost, "/auth/v2/preauth", url.Values{"username": {a.username}, "ipaddr": {a.address}})
	if err != nil {
		return err
	}
	switch r.Response.Result {
	case "allow": // Duo's own policy lets them in
		return nil
	case "auth":
	case "enroll":
		return refusal("the user is not enrolled with Duo")
	default:
		return refusal("Duo denies the user")
	}
	v := url.Values{"username": {a.username}, "ipaddr": {a.address}}
	if a.passcode != "" {
		v.Set("factor", "passcode")
		v.Set("passcode", a.passcode)
	} else {
		v.Set("factor", "push")
		v.Set("device", "auto")
		v.Set("async", "1")
		if a.m.Duo.PushInfo != "" {
			v.Set("pushinfo", a.m.Duo.PushInfo)
		}
	}
	if r, err = s.duo(ctx, a.m.Duo, http.MethodPost, "/auth/v2/auth", v); err != nil {
		return err
	}
	for id := r.Response.TxID; id != "" && (r.Response.Result == "" || r.Response.Result == "waiting"); {
		if r, err = s.duo(ctx, a.m.Duo, http.MethodGet, "/auth/v2/auth_status", url.Values{"txid": {id}}); err != nil {
			return err
		}
		if r.Response.Result == "waiting" {
			if err := s.pause(ctx); err != nil {
				return err
			}
		}
	}
	if r.Response.Result != "allow" {
		return refusal("Duo denies the login")
	}
	return nil
}

// duo makes a signed call.
func (s *Store) duo(ctx context.Context, d *Duo, method, path string, v url.Values) (*duoReply, error) {
	if v.Get("ipaddr") == "" {
		v.Del("ipaddr")
	}
	params := strings.ReplaceAll(v.Encode(), "+", "%20") // sorted, as what is signed has to be
	u := url.URL{Scheme: "https", Host: d.Host, Path: path}
	var q *http.Request
	var err error
	if method == http.MethodGet {
		u.RawQuery = params
		q, err = http.NewRequestWithContext(ctx, method, u.String(), nil)
	} else {
		q, err = http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(params))
	}
	if err != nil {
		return nil, fmt.Errorf("make a request to Duo: %w", err)
	}
	date := s.o.Now().UTC().Format(time.RFC1123Z)
	q.Header.Set("Date", date)
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.SetBasicAuth(d.Integration, d.sign(date, method, path, params))
	status, body, err := s.call(q)
	if err != nil {
		return nil, err
	}
	var r duoReply
	if err := json.Unmarshal(body, &r); err != nil || status/100 != 2 && status/100 != 4 {
		return nil, fmt.Errorf("duo answered with status %d", status)
	}
	if r.Stat != "OK" {
		return nil, refusal("Duo refuses the request")
	}
	return &r, nil
}

// sign is the password of a call: an HMAC of what it says, to whom and when.
func (d *Duo) sign(date, method, path, params string) string {
	mac := hmac.New(sha1.New, []byte(d.Secret))
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n%s", date, method, strings.ToLower(d.Host), path, params)
	return hex.EncodeToString(mac.Sum(nil))
}
