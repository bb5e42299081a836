package mfa_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/access/mfa"
)

func told(list []mfa.Credential, err error) string {
	if err != nil {
		return "refused"
	}
	var out []string
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s=%q", c.Method, c.Passcode))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Credentials are kept as they are spelt: what is wrong with a code is for who
// checks it.
func TestCredentials(t *testing.T) {
	for sent, want := range map[string]string{
		"m":                     `m=""`,
		"m:1":                   `m="1"`,
		"m:passcode=1":          `m="1"`,
		"m: 1":                  `m=" 1"`,
		"m:a:b":                 `m="a:b"`,
		":1":                    "refused",
		"":                      "refused",
		"ns/m:passcode=":        `ns/m=""`,
		"m:passcode=passcode=1": `m="passcode=1"`,
	} {
		if got := told(mfa.Header([]string{sent})); got != want {
			t.Errorf("header %q: %s, want %s", sent, got, want)
		}
	}
	if got := told(mfa.Header(slices.Repeat([]string{"m"}, 17))); got != "refused" {
		t.Errorf("17 headers: %s", got)
	}
	for sent, want := range map[string]string{
		`{"a":["1"],"b":"2","c":[]}`: `a="1" b="2" c=""`,
		`{"a":["passcode=1"]}`:       `a="1"`,
		`"{\"a\":[\"1\"]}"`:          `a="1"`,
		`"a=1"`:                      `a="1"`,
		`{"a":["1","2"]}`:            "refused",
		`{"a":1}`:                    "refused",
		`{"a":{"b":"c"}}`:            "refused",
		`["a"]`:                      "refused",
		`"a"`:                        "refused",
		`1`:                          "refused",
		`{}`:                         "",
		"{" + strings.Repeat(`"a":"1",`, 3) + `"b":"2"}`: `a="1" b="2"`,
	} {
		if got := told(mfa.Payload(json.RawMessage(sent))); got != want {
			t.Errorf("payload %s: %s, want %s", sent, got, want)
		}
	}
}
