package server_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/fastness-dev/fastness/server"
)

// A hand turns a clock.
type hand struct{ at atomic.Int64 }

func (h *hand) now() time.Time          { return time.Unix(0, h.at.Load()).UTC() }
func (h *hand) advance(d time.Duration) { h.at.Add(int64(d)) }

func newHand() *hand {
	h := &hand{}
	h.at.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return h
}

// code is what an authenticator that was given a URL shows at a time. The
// library is another's than the server's own arithmetic.
func code(t *testing.T, otpauth string, at time.Time) string {
	t.Helper()
	u, err := url.Parse(otpauth)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	period, err := strconv.ParseUint(q.Get("period"), 10, 32)
	if err != nil {
		t.Fatalf("%q: %v", otpauth, err)
	}
	digits := otp.DigitsSix
	if q.Get("digits") == "8" {
		digits = otp.DigitsEight
	}
	algorithm := map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}[q.Get("algorithm")]
	c, err := totp.GenerateCodeCustom(q.Get("secret"), at, totp.ValidateOpts{Period: uint(period), Digits: digits, Algorithm: algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A tale is told by lines:
//
//	METHOD PATH BODY [as TOKEN] [in NAMESPACE] [mfa CREDENTIAL]...
//	quiet METHOD …    the same, of which only the status is told
//	let NAME PATH     a name for a part of the last answer: data.method_id
//	advance 90s       the clock goes on
//
// $NAME stands for what was named, $code(NAME) for the code that an authenticator
// with that URL shows now, and $code(NAME,-30s) for the one of then. What was
// named is shown by its name.
type tale struct {
	*world
	hand  *hand
	names map[string]string
	last  any
}

func TestSecondFactors(t *testing.T) {
	datadriven.Walk(t, "testdata/mfa", func(t *testing.T, file string) {
		h := newHand()
		w := openWith(t, func(o *server.Options) { o.Clock = h.now; o.Engines = append(o.Engines, passes()) })
		tl := &tale{world: w, hand: h, names: map[string]string{"root": w.root}}
		datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
			tl.t = t
			var out strings.Builder
			for line := range strings.SplitSeq(d.Input, "\n") {
				if line = strings.TrimSpace(line); line != "" {
					out.WriteString(tl.line(line))
				}
			}
			return out.String()
		})
	})
}

var named = regexp.MustCompile(`\$code\((\w+)(?:,(-?\w+))?\)|\$(\w+)`)

func (tl *tale) fill(s string) string {
	return named.ReplaceAllStringFunc(s, func(m string) string {
		g := named.FindStringSubmatch(m)
		if g[1] == "" {
			v, ok := tl.names[g[3]]
			if !ok {
				tl.t.Fatalf("nothing is named %s", g[3])
			}
			return v
		}
		at := tl.hand.now()
		if g[2] != "" {
			d, err := time.ParseDuration(g[2])
			if err != nil {
				tl.t.Fatal(err)
			}
			at = at.Add(d)
		}
		return code(tl.t, tl.names[g[1]], at)
	})
}

var bodied = regexp.MustCompile(`^(\w+) (\S+)(?: (\{.*\}))?((?: (?:as|in|mfa|wrap) \S+)*)$`)

func (tl *tale) line(line string) string {
	f := strings.Fields(line)
	switch f[0] {
	case "let":
		v := tl.last
		for part := range strings.SplitSeq(f[2], ".") {
			v = member(v, part)
		}
		s, ok := v.(string)
		if !ok {
			tl.t.Fatalf("%s: %v", line, tl.last)
		}
		tl.names[f[1]] = s
		return ""
	case "advance":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			tl.t.Fatal(err)
		}
		tl.hand.advance(d)
		return ""
	}
	line, quiet := strings.CutPrefix(line, "quiet ")
	g := bodied.FindStringSubmatch(tl.fill(line))
	if g == nil {
		tl.t.Fatalf("cannot read %q", line)
	}
	out := tl.send(g[1], g[2], g[3], strings.Fields(g[4]))
	if quiet {
		out = out[:4] + "…\n"
	}
	return out
}

func member(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[name]
	case []any:
		i, err := strconv.Atoi(name)
		if err != nil || i >= len(v) {
			return nil
		}
		return v[i]
	}
	return nil
}

func (tl *tale) send(method, path, body string, options []string) string {
	token := tl.root
	var factors []string
	var headers []string
	for i := 0; i < len(options); i += 2 {
		switch v := options[i+1]; options[i] {
		case "as":
			token = strings.Trim(v, "-")
		case "in":
			headers = append(headers, "X-Vault-Namespace", v)
		case "wrap":
			headers = append(headers, "X-Vault-Wrap-TTL", v)
		case "mfa":
			factors = append(factors, v)
		}
	}
	a := tl.doWith(token, method, path, body, factors, headers...)
	tl.last = nil
	if len(a.body) > 0 {
		if err := json.Unmarshal(a.body, &tl.last); err != nil {
			tl.t.Fatal(err)
		}
	}
	return tl.tell(a)
}

// tell writes down an answer: what is named by its name, what a server draws not
// at all.
func (tl *tale) tell(a answer) string {
	var out string
	switch auth := member(tl.last, "auth"); {
	case len(a.Errors) > 0:
		out = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(a.Errors[0]), "1 error occurred:"))
	case auth != nil && member(auth, "mfa_requirement") != nil:
		b, err := json.Marshal(member(auth, "mfa_requirement"))
		if err != nil {
			tl.t.Fatal(err)
		}
		out = string(b)
		tl.names["request"] = member(member(auth, "mfa_requirement"), "mfa_request_id").(string)
		if a.Auth.ClientToken != "" {
			out += " AND A TOKEN"
		}
	case auth != nil:
		out = fmt.Sprintf("a token with %v", a.Auth.Policies)
	case a.WrapInfo.Token != "":
		out = "wrapped"
	case member(tl.last, "data") != nil:
		b, err := json.Marshal(member(tl.last, "data"))
		if err != nil {
			tl.t.Fatal(err)
		}
		if out = string(b); len(out) > 600 || strings.Contains(out, "otpauth") {
			out = "…"
		}
	}
	names := make([]string, 0, len(tl.names))
	for n := range tl.names {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int { return len(tl.names[b]) - len(tl.names[a]) })
	for _, n := range names {
		if len(tl.names[n]) > 8 {
			out = strings.ReplaceAll(out, tl.names[n], "$"+n)
		}
	}
	out = strings.TrimSpace(fmt.Sprint(a.Status, " ", masked.ReplaceAllString(out, "DRAWN"))) + "\n"
	for _, w := range a.Warnings {
		if !strings.HasPrefix(w, "A login request was issued") {
			out += "warning: " + w + "\n"
		}
	}
	return out
}

var masked = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(auth_pass|entity)_[0-9a-f]{8}`)
