package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The comparison sees what a client would stumble over, and nothing else.
func TestComparison(t *testing.T) {
	for _, c := range []struct {
		want, got string
		differs   string // the place, "" is nowhere
		wording   bool
	}{
		{`{"a":1}`, `{"a":1}`, "", false},
		{`{"a":1}`, `{"a":2}`, ".a", false},
		{`{"a":1}`, `{"a":"1"}`, ".a", false},
		{`{"a":null}`, `{"a":[]}`, ".a", false},
		{`{"a":[]}`, `{"a":null}`, ".a", false},
		{`{"a":{}}`, `{}`, ".a", false},
		{`{"a":1}`, `{"a":1,"b":2}`, ".b", false},
		{`{"a":1}`, `{"a":1,"mount_type":"kv"}`, "", false},
		{`{"d":{"a":1}}`, `{"d":{"a":1,"mount_type":"kv"}}`, ".d.mount_type", false},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, ".a[0]", false},
		{`{"a":[1,2]}`, `{"a":[1]}`, ".a", false},
		{`{"a":"TIME","b":"TIME"}`, `{"a":"2026-01-01T00:00:00Z","b":1795326266}`, "", false},
		{`{"a":"TIME"}`, `{"a":null}`, ".a", false},
		{`{"a":"N"}`, `{"a":7}`, "", false},
		{`{"a":"UUID1","b":"UUID1"}`, `{"a":"x","b":"x"}`, "", false},
		{`{"a":"UUID1","b":"UUID1"}`, `{"a":"x","b":"y"}`, ".b", false},
		{`{"a":"auth_token_ACCESSOR1"}`, `{"a":"kv_1"}`, ".a", false},
		{`{"UUID1":{"a":1}}`, `{"some-id":{"a":2}}`, ".UUID1.a", false},
		{`{"a":{"b":1,` + "\n…\n", `{"a":{"b":1,"c":2},"d":3}`, "", false},
		{`{"a":{"b":1,` + "\n…\n", `{"a":{"c":2},"d":3}`, ".a.b", false},
		{`{"errors":["a b"]}`, `{"errors":["c"]}`, ".errors[0]", true},
		{`{"errors":["a b"]}`, `{"errors":[]}`, ".errors", false},
		{`{"errors":[]}`, `{"errors":["c"]}`, ".errors", false},
		{`{"errors":["permission denied"]}`, `{"errors":["no"]}`, ".errors[0]", false},
		{`{"warnings":null}`, `{"warnings":["c"]}`, ".warnings", false},
		{`{"t":UNIXTIME}`, `{"t":17}`, "", false},
	} {
		m := &matcher{labels: map[string]string{}}
		if err := m.body(c.want, []byte(c.got)); err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		at, wording := "", false
		for i, d := range m.found {
			if i == 0 {
				at, wording = d.at, d.wording
			}
		}
		if at != c.differs || wording != c.wording {
			t.Errorf("%s against %s: %v, want a difference at %q", c.got, c.want, m.found, c.differs)
		}
	}
}

// A label stands for one value in all that a file sends.
func TestLabelsAreSent(t *testing.T) {
	m := &matcher{labels: map[string]string{"TOKEN1": "hvs.a", "TOKEN12": "hvs.b", "limited(x)": "hvs.c"}}
	for s, want := range map[string]string{
		"/v1/x/TOKEN1":                 "/v1/x/hvs.a",
		`{"a":"TOKEN12","b":"TOKEN1"}`: `{"a":"hvs.b","b":"hvs.a"}`,
		"limited(x)":                   "hvs.c",
		"X-TOKENS":                     "X-TOKENS",
		"TIME":                         "TIME",
	} {
		if got, missing := m.fill(s); got != want || missing != "" {
			t.Errorf("%s is sent as %q (%s unknown), want %q", s, got, missing, want)
		}
	}
	if _, missing := m.fill("/v1/UUID9"); missing != "UUID9" {
		t.Errorf("UUID9 was not seen as unknown: %q", missing)
	}
}

// Both forms of a request, directives, and what waits.
func TestTranscript(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.txt")
	text := `# Observed from OpenBao 2.6.2
% server raft
% POST /v1/sys/mounts/x {"type":"kv"}
% let TOKEN1 = "t"

### one
> PUT /v1/a {"b":1}   [token TOKEN1; X-Vault-Wrap-TTL: 60s; no Content-Type]
< 200 Content-Type: text/html; charset=utf-8; Location: /x; (no Cache-Control)
{
 "v": "v2.6.2+builtin.bao"
}

### two
> GET /v1/c
> token: none
> If-None-Match: x
< 204

## later
% wait section issue 9: all of it

### three
> GET /v1/d   [token root]
< 200
`
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := read(name)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, script.server)
	for _, e := range script.said {
		fmt.Fprintf(&b, "%s|%s %s %s|%s|%v %v|%d %v %v|%s|%d|%s\n", e.title, e.method, e.path, e.body, e.token, e.headers, e.without,
			e.status, e.want, e.noCache, strings.Join(strings.Fields(e.answer), ""), len(e.before), e.wait)
	}
	want := `raft
one|PUT /v1/a {"b":1}|TOKEN1|map[X-Vault-Wrap-Ttl:[60s]] [Content-Type]|200 map[Content-Type:[text/html; charset=utf-8] Location:[/x]] true|{"v":"VERSION"}|2|
two|GET /v1/c |none|map[If-None-Match:[x]] []|204 map[] false||0|
three|GET /v1/d |root|map[] []|200 map[] false||0|issue 9: all of it
`
	if b.String() != want {
		t.Errorf("read\n%swant\n%s", b.String(), want)
	}
}
