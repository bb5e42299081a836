package engine_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

type sample struct{}

type everything struct {
	Name   string            `path:"name"`
	Rest   string            `path:"rest"`
	Text   string            `json:"text"`
	Flag   bool              `json:"flag"`
	N      int               `json:"n"`
	TTL    engine.Duration   `json:"ttl"`
	List   []string          `json:"list"`
	Map    map[string]string `json:"map"`
	Raw    json.RawMessage   `json:"raw"`
	Maybe  *int              `json:"maybe"`
	Preset int               `json:"preset" default:"7"`
}

// instance opens an engine whose routes note what they were asked, and answer
// only when that had a text.
func instance(t *testing.T, patterns ...string) (engine.Instance, *everything) {
	t.Helper()
	got := &everything{}
	var routes engine.Routes[sample]
	for _, p := range patterns {
		routes = append(routes, engine.Compute(p, func(_ *sample, _ engine.View, req everything) (*engine.Answer, error) {
			*got = req
			if req.Text == "" {
				return nil, nil
			}
			return &engine.Answer{}, nil
		}))
	}
	in, err := (&engine.Spec[sample]{Name: "sample", Kind: engine.Secret, Routes: routes}).Type().Open(engine.Mount{})
	if err != nil {
		t.Fatal(err)
	}
	return in, got
}

func ask(t *testing.T, in engine.Instance, path, body string, query url.Values) (*engine.Call, error) {
	t.Helper()
	m, err := in.Find(engine.OpWrite, path)
	if err != nil {
		return nil, err
	}
	c := &engine.Call{Body: json.RawMessage(body), Query: query, By: &engine.Caller{}}
	_, err = m.Run(c)
	return c, err
}

func TestPatterns(t *testing.T) {
	in, got := instance(t, "fixed", "roles/{name}", "roles/{name}/sub", "any[/{rest...}]", "pick/{name:a|b}", "at/{name@}")
	for path, want := range map[string]string{
		"fixed": "", "roles/x": "x", "roles/a-b.c": "a-b.c", "roles/x/sub": "x", "any": "", "any/a/b/": "a/b/", "pick/a": "a", "at/u@x": "u@x",
		"roles/-x": "!", "roles/a b": "!", "roles/": "!", "roles": "!", "roles/x/y": "!", "pick/c": "!", "roles/u@x": "!", "": "!",
	} {
		*got = everything{}
		_, err := ask(t, in, path, "", nil)
		switch {
		case want == "!" && !errors.Is(err, engine.ErrNoRoute):
			t.Errorf("%q: %v, want no route", path, err)
		case want != "!" && (err != nil || got.Name+got.Rest != want):
			t.Errorf("%q: captured %q (%v), want %q", path, got.Name+got.Rest, err, want)
		}
	}
	if _, err := in.Find(engine.OpDelete, "fixed"); !errors.Is(err, engine.ErrNoOperation) {
		t.Errorf("delete of a path that is only written: %v", err)
	}
}

func TestTwoRoutesForOnePathPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two routes claim one path, and nobody noticed")
		}
	}()
	instance(t, "a/{name}", "a/{name}")
}

func TestLenientConversions(t *testing.T) {
	in, got := instance(t, "{name}")
	one := 1
	for body, want := range map[string]everything{
		`{"text":"a","flag":true,"n":3,"ttl":60}`:                 {Text: "a", Flag: true, N: 3, TTL: engine.Duration(time.Minute)},
		`{"text":5,"flag":"true","n":"3","ttl":"1h"}`:             {Text: "5", Flag: true, N: 3, TTL: engine.Duration(time.Hour)},
		`{"ttl":"2d","n":3.0}`:                                    {TTL: engine.Duration(48 * time.Hour), N: 3},
		`{"list":"a, b,c","map":["k=v","l=w"]}`:                   {List: []string{"a", "b", "c"}, Map: map[string]string{"k": "v", "l": "w"}},
		`{"list":["a","b"],"map":{"k":"v","n":1}}`:                {List: []string{"a", "b"}, Map: map[string]string{"k": "v", "n": "1"}},
		`{"raw":{"x": [1, "}"]},"maybe":1,"text":"a\"},{\u00fc"}`: {Raw: json.RawMessage(`{"x": [1, "}"]}`), Maybe: &one, Text: `a"},{ü`},
		`null`: {},
		` {} `: {},
	} {
		*got = everything{}
		if _, err := ask(t, in, "x", body, nil); err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		want.Name, want.Preset = "x", 7
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", body, *got, want)
		}
	}
}

func TestBadParametersNameTheField(t *testing.T) {
	in, _ := instance(t, "{name}")
	for body, field := range map[string]string{
		`{"ttl":"abc"}`: "ttl", `{"ttl":-1}`: "ttl", `{"ttl":[1]}`: "ttl", `{"n":"x"}`: "n", `{"n":1.5}`: "n", `{"n":{}}`: "n",
		`{"flag":"perhaps"}`: "flag", `{"text":{}}`: "text", `{"text":[]}`: "text", `{"list":{}}`: "list", `{"map":"novalue"}`: "map",
		`{"n":99999999999999999999}`: "n", `{"ttl":99999999999999999}`: "ttl",
	} {
		_, err := ask(t, in, "x", body, nil)
		if err == nil || !strings.Contains(err.Error(), `"`+field+`"`) {
			t.Errorf("%s: %v, want an error that names %s", body, err, field)
		}
	}
}

func TestUnknownAndReplacedParametersAreTold(t *testing.T) {
	in, got := instance(t, "{name}")
	c, err := ask(t, in, "x", `{"name":"y","zzz":1,"aaa":2}`, url.Values{"text": {"q"}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Endpoint ignored these unrecognized parameters: [aaa zzz]",
		"Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [name]",
	}
	if !reflect.DeepEqual(c.Warnings, want) || got.Name != "x" || got.Text != "q" {
		t.Errorf("warnings %q, name %q, text %q", c.Warnings, got.Name, got.Text)
	}
	// An answer of nothing has no place to tell them.
	if c, err = ask(t, in, "x", `{"zzz":1}`, nil); err != nil || len(c.Warnings) > 0 {
		t.Errorf("warnings %q, %v", c.Warnings, err)
	}
}

func TestDecodeAllocations(t *testing.T) {
	in, _ := instance(t, "roles/{name}")
	c := &engine.Call{Body: json.RawMessage(`{"n":3,"flag":true}`), By: &engine.Caller{}}
	run := func() {
		m, err := in.Find(engine.OpWrite, "roles/x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Run(c); err != nil {
			t.Fatal(err)
		}
	}
	const budget = 12
	if n := testing.AllocsPerRun(200, run); n > budget && !racing {
		t.Errorf("route and decode make %.0f allocations, budget %d", n, budget)
	}
}

var racing bool // the race detector is on

// No body that is valid JSON makes decoding panic or loop.
func FuzzDecode(f *testing.F) {
	f.Add(`{"text":"a","n":3,"list":["a"],"map":{"k":"v"},"raw":{"a":[1,2,{"b":"]}"}]}}`)
	f.Add(`{"ttl":"1h","maybe":null,"flag":"1"}`)
	f.Add(`{ "a\"b" : [ [ ] , { } ] , "n" : -1e3 }`)
	in, err := (&engine.Spec[sample]{Name: "sample", Kind: engine.Secret, Routes: engine.Routes[sample]{
		engine.Compute("x", func(*sample, engine.View, everything) (engine.None, error) { return engine.None{}, nil }),
	}}).Type().Open(engine.Mount{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if !json.Valid([]byte(body)) {
			return
		}
		m, err := in.Find(engine.OpWrite, "x")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = m.Run(&engine.Call{Body: json.RawMessage(body), By: &engine.Caller{}}) // only that it returns
	})
}
