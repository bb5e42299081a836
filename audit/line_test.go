package audit

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata from what the code does")

var noon = time.Date(2026, 1, 2, 12, 0, 0, 5, time.UTC)

// story is one request of testdata/lines.jsonl and its answer.
type story struct {
	title  string
	format format
	asked  Entry
	answer *Response
}

func rootAuth() Auth {
	return Auth{
		ClientToken: "hvs.root", Accessor: "acc.root", DisplayName: "root",
		Policies: []string{"root"}, TokenPolicies: []string{"root"},
		PolicyResults: &PolicyResults{Allowed: true, GrantingPolicies: []GrantingPolicy{{Name: "root", NamespaceID: "root", Type: "acl"}}},
		TokenType:     "service", TokenIssueTime: noon,
	}
}

func annAuth() Auth {
	return Auth{
		ClientToken: "hvs.ann", Accessor: "acc.ann", DisplayName: "userpass-ann",
		Policies: []string{"default", "p1"}, TokenPolicies: []string{"default", "p1"},
		Metadata: map[string]string{"username": "ann"}, EntityID: "ENTITY", TokenType: "service", TokenTTL: time.Hour,
	}
}

func kvRequest(operation, path, data string) Request {
	return Request{
		ID: "ID", ClientID: "CLIENT", Operation: operation,
		MountPoint: "secret/", MountType: "kv", MountAccessor: "kv_01234567", MountRunningVersion: "v1", MountClass: "secret",
		ClientToken: "hvs.root", ClientTokenAccessor: "acc.root", Path: path, Data: json.RawMessage(data),
		RemoteAddress: "127.0.0.1", RemotePort: 4321,
	}
}

func kvResponse(data string) *Response {
	return &Response{
		MountPoint: "secret/", MountType: "kv", MountAccessor: "kv_01234567", MountRunningVersion: "v1", MountClass: "secret",
		Data: json.RawMessage(data),
	}
}

func stories() []story {
	login := Request{
		ID: "ID", Operation: "update", MountPoint: "auth/userpass/", MountType: "userpass", MountAccessor: "auth_userpass_01234567",
		MountRunningVersion: "v1", MountClass: "auth", Path: "auth/userpass/login/ann", Data: json.RawMessage(`{"password":"hunter2"}`),
		RemoteAddress: "127.0.0.1", RemotePort: 4321,
	}
	granted := annAuth()
	loggedIn := &Response{Auth: &granted, MountPoint: "auth/userpass/", MountType: "userpass", MountAccessor: "auth_userpass_01234567", MountRunningVersion: "v1", MountClass: "auth"}
	denied := annAuth()
	denied.PolicyResults, denied.TokenIssueTime = &PolicyResults{}, noon
	wrapped := kvRequest("read", "secret/data/seed", "")
	wrapped.WrapTTL = time.Minute
	wrapping := kvResponse("")
	wrapping.WrapInfo = &WrapInfo{TTL: time.Minute, Token: "hvs.wrap", Accessor: "acc.wrap", CreationTime: noon, CreationPath: "secret/data/seed", WrappedAccessor: "acc.new"}
	header := kvRequest("read", "secret/data/a", "null")
	header.Headers = http.Header{"X-Probe": {"seen", "twice"}, "X-Other": {"no"}, "X-Hidden": {"h"}, "X-Vault-Token": {"hvs.root"}}
	exempt := kvRequest("update", "secret/data/a", `{"name":"n","data":{"name":"x"}}`)
	exempt.PlainKeys = []string{"name"}
	everything := kvRequest("update", "a\"b\n\u2028\x7f", `{}`)
	everything.ReplicationCluster, everything.MountRunningSHA256, everything.MountIsExternalPlugin = "dc", "5a", true
	everything.NamespaceID, everything.NamespacePath, everything.PolicyOverride = "ns1", "team/", true
	everything.CertificateSerial, everything.URI = "01:02", "/v1/a"
	lent := annAuth()
	lent.IdentityPolicies, lent.ExternalNamespacePolicies = []string{"i"}, map[string][]string{"ns2": {"b"}, "ns1": {"a"}}
	lent.NoDefaultPolicy, lent.NumUses, lent.RemainingUses, lent.EntityCreated = true, 5, 4, true
	full := kvResponse(`{"keys":["a","b"]}`)
	full.MountRunningSHA256, full.MountIsExternalPlugin, full.LeaseID = "5a", true, "secret/a/LEASE"
	full.Warnings, full.Redirect, full.Headers = []string{"careful"}, "https://a/", http.Header{"X-Probe": {"out"}}

	return []story{
		{title: "login", asked: Entry{Auth: Auth{PolicyResults: &PolicyResults{Allowed: true}}, Request: login}, answer: loggedIn},
		{title: "kv write", asked: Entry{Auth: rootAuth(), Request: kvRequest("create", "secret/data/a", `{"data":{"deep":[{"y":"v"}],"n":7,"nil":null,"t":true}}`)}, answer: kvResponse(`{"destroyed":false,"version":1,"deletion_time":""}`)},
		{title: "kv read of nothing", asked: Entry{Auth: rootAuth(), Request: kvRequest("read", "secret/data/none", "")}, answer: kvResponse("null")},
		{title: "denied", asked: Entry{Auth: denied, Request: kvRequest("read", "secret/data/a", ""), Error: "1 error occurred:\n\t* permission denied\n\n"}, answer: kvResponse(`{"error":"permission denied"}`)},
		{title: "unknown token", asked: Entry{Request: kvRequest("read", "secret/data/a", ""), Error: "permission denied"}, answer: kvResponse(`{"error":"permission denied"}`)},
		{title: "wrapped response", asked: Entry{Auth: rootAuth(), Request: wrapped}, answer: wrapping},
		{title: "chosen headers, one hashed, a token always", asked: Entry{Auth: rootAuth(), Request: header}, answer: kvResponse("")},
		{title: "keys that the mount exempts", asked: Entry{Auth: rootAuth(), Request: exempt}, answer: kvResponse("{}")},
		{title: "every field", asked: Entry{Auth: lent, Request: everything, ForwardedFrom: "10.0.0.2:8201"}, answer: full},
		{title: "elided list", format: format{elideLists: true, prefix: "@cee: "}, asked: Entry{Auth: rootAuth(), Request: kvRequest("list", "secret/metadata/", "")}, answer: kvResponse(`{"keys":["a","b"],"key_info":{"a":{}}}`)},
		{title: "keys of what is no list", format: format{elideLists: true}, asked: Entry{Auth: rootAuth(), Request: kvRequest("read", "secret/data/a", "")}, answer: kvResponse(`{"keys":["a"]}`)},
		{title: "hmac_accessor off", format: format{plainAccessor: true}, asked: Entry{Auth: rootAuth(), Request: wrapped}, answer: wrapping},
		{title: "log_raw", format: format{raw: true}, asked: Entry{Auth: rootAuth(), Request: header}, answer: kvResponse(`{"a": "b"}`)},
	}
}

// TestLines compares lines with testdata/lines.jsonl, whose shapes are those
// that Vault's log readers expect. Hashes are numbered in order of appearance.
func TestLines(t *testing.T) {
	rules := newHeaderRules(map[string]bool{"X-PROBE": false, "x-hidden": true, "x-vault-token": false})
	var got strings.Builder
	for _, s := range stories() {
		fmt.Fprintf(&got, "# %s\n", s.title)
		e := &encoder{hasher: NewHasher(salt), format: s.format}
		x := s.asked
		x.Time, x.keep = noon, rules
		if err := e.entry(KindRequest, &x); err != nil {
			t.Fatal(s.title, err)
		}
		x.Response = s.answer
		if err := e.entry(KindResponse, &x); err != nil {
			t.Fatal(s.title, err)
		}
		for line := range strings.Lines(string(e.buf)) {
			if body := strings.TrimPrefix(line, s.format.prefix); !json.Valid([]byte(body)) {
				t.Errorf("%s: not JSON: %s", s.title, body)
			}
		}
		got.WriteString(numberHashes(string(e.buf)))
	}
	golden(t, "testdata/lines.jsonl", got.String())
}

func numberHashes(s string) string {
	seen := map[string]string{}
	return regexp.MustCompile(`hmac-sha256:[0-9a-f]{64}`).ReplaceAllStringFunc(s, func(h string) string {
		if seen[h] == "" {
			seen[h] = fmt.Sprintf("hmac-sha256:HMAC%d", len(seen)+1)
		}
		return seen[h]
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got), -update rewrites it:\n%s", name, diff)
	}
}

func TestNoMarkerOfTheCallerIsInALine(t *testing.T) {
	const marker = "canary-51cf"
	x := Entry{
		Time: noon, Auth: Auth{ClientToken: marker, Accessor: marker},
		Request: Request{
			ClientToken: marker, ClientTokenAccessor: marker, Data: json.RawMessage(`{"a":"` + marker + `","b":["\u0063anary-51cf"]}`),
			Headers: http.Header{"X-Vault-Token": {marker}, "Authorization": {marker}},
		},
		Response: &Response{
			Auth: &Auth{ClientToken: marker, Accessor: marker}, Data: json.RawMessage(`["` + marker + `"]`),
			WrapInfo: &WrapInfo{Token: marker, Accessor: marker, WrappedAccessor: marker},
			Headers:  http.Header{"Set-Cookie": {marker}},
		},
		keep: newHeaderRules(map[string]bool{"X-Vault-Token": false, "Authorization": false}),
	}
	e := &encoder{hasher: NewHasher(salt)}
	for _, k := range []Kind{KindRequest, KindResponse} {
		if err := e.entry(k, &x); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(string(e.buf), "51cf\"") || strings.Contains(string(e.buf), marker) {
		t.Errorf("the marker is in the clear: %s", e.buf)
	}
}
