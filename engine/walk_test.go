package engine_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

// Items come out as they were written; what is no list is told apart.
func TestItemsOfAList(t *testing.T) {
	for _, c := range []struct {
		list string
		want []string
		is   bool
	}{
		{`[]`, nil, true},
		{` [ ] `, nil, true},
		{`[1, "a,]\"[", {"b":[1,{}]} ,[2],null]`, []string{`1`, `"a,]\"["`, `{"b":[1,{}]}`, `[2]`, `null`}, true},
		{`{"a":[1]}`, nil, false},
		{`"x"`, nil, false},
		{``, nil, false},
	} {
		var got []string
		is, err := engine.EachItem(json.RawMessage(c.list), func(raw json.RawMessage) error {
			got = append(got, string(raw))
			return nil
		})
		if err != nil || is != c.is || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, %v", c.list, got, is, err)
		}
	}
}

// Text reads what encoding/json reads.
func TestText(t *testing.T) {
	for _, s := range []string{``, `plain`, `a\"b\\c`, `\u00e9`, "\u00e9", "\xff", `\ud83d\ude00`} {
		raw := json.RawMessage(`"` + s + `"`)
		var want string
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
		if got, err := engine.Text(raw); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", raw, got, err, want)
		}
	}
}

type counter struct{ computed, wrote int }

// A route that seldom writes computes from a view, and writes in a transaction
// only when that says so.
func TestComputeOr(t *testing.T) {
	e := &counter{}
	type request struct {
		N string `json:"n"`
	}
	m := enginetest.New(t, (&engine.Spec[counter]{
		Name: "counter", Kind: engine.Secret, Open: func(engine.Mount) (*counter, error) { return e, nil },
		Routes: engine.Routes[counter]{engine.ComputeOr("n", func(e *counter, v engine.View, _ request) (*request, error) {
			e.computed++
			b, err := v.Get("n")
			if b == nil {
				return nil, engine.ErrMustWrite
			}
			return &request{string(b)}, err
		}, func(e *counter, tx engine.Tx, req request) (*request, error) {
			e.wrote++
			tx.Put("n", []byte(req.N))
			return &req, nil
		})},
	}).Type(), nil)
	for range 3 {
		if r := m.Do(engine.OpWrite, "n", `{"n":"7"}`); string(r.Body) != `{"n":"7"}` {
			t.Fatal(r)
		}
	}
	if e.wrote != 1 || e.computed != 4 {
		t.Errorf("computed %d times and wrote %d", e.computed, e.wrote)
	}
}
