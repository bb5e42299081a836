package engine_test

import (
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

type desk struct{}

type shelf struct {
	engine.TokenTerms
	Books  []string        `json:"books" doc:"Titles."`
	Rows   int             `json:"rows" default:"3" doc:"How many rows."`
	Key    string          `json:"key" secret:"true" doc:"What opens it."`
	Old    engine.Duration `json:"old,omitempty" doc:"A former name."`
	Opened bool            `json:"opened" doc:"Whether it is."`
}

func shelves(replace bool) *engine.Collection[desk, shelf] {
	return &engine.Collection[desk, shelf]{Path: "shelf", Noun: "shelf", Fold: true, Patches: true, Replace: replace,
		Check: func(_ *desk, tx engine.Tx, item *engine.Item[shelf]) error {
			if item.Value.Rows > 9 {
				return engine.Bad("too many rows")
			}
			if item.Sent("rows") {
				tx.Warn("rows were sent")
			}
			return item.Value.Normalize(tx.Mount())
		}}
}

func deskType(replace bool) engine.Type {
	c := shelves(replace)
	return (&engine.Spec[desk]{Name: "desk", Kind: engine.Secret, Routes: append(c.Routes(), c.Fields("rows", "rows")...)}).Type()
}

// A collection is listed, read, written, patched and deleted; what is secret is
// not read back, what is not sent stays, and its fields have routes.
func TestCollection(t *testing.T) {
	m := enginetest.New(t, deskType(false), nil)
	say := func(op engine.Op, path, body string, status int, want string) enginetest.Reply {
		t.Helper()
		r := m.Do(op, path, body)
		if r.Status != status || want != "" && string(r.Body) != want {
			t.Fatalf("%s %s %s: %d %s, want %d %s", op, path, body, r.Status, r.Body, status, want)
		}
		return r
	}
	const terms = `"token_policies":[],"token_ttl":0,"token_max_ttl":0,"token_explicit_max_ttl":0,"token_period":0,"token_num_uses":0,"token_type":"default","token_no_default_policy":false,"token_bound_cidrs":[],`
	say(engine.OpList, "shelf", "", 404, "")
	if r := say(engine.OpWrite, "shelf/A", `{"books":"x,y","key":"k"}`, 204, ""); !r.Creates {
		t.Fatal("the first write does not create")
	}
	say(engine.OpRead, "shelf/a", "", 200, `{`+terms+`"books":["x","y"],"rows":3,"opened":false}`)
	if r := say(engine.OpWrite, "shelf/a", `{"opened":"true","rows":4}`, 204, ""); r.Creates || len(r.Warnings) != 1 {
		t.Fatalf("the second write creates (%v), or warns wrongly: %v", r.Creates, r.Warnings)
	}
	say(engine.OpRead, "shelf/a", "", 200, `{`+terms+`"books":["x","y"],"rows":4,"opened":true}`)
	say(engine.OpPatch, "shelf/a", `{"old":"1m"}`, 204, "")
	say(engine.OpRead, "shelf/a", "", 200, `{`+terms+`"books":["x","y"],"rows":4,"old":60,"opened":true}`)
	say(engine.OpPatch, "shelf/b", `{"old":"1m"}`, 404, "")
	say(engine.OpWrite, "shelf/a", `{"rows":10}`, 400, "")
	say(engine.OpRead, "shelf/a/rows", "", 200, `{"rows":4}`)
	say(engine.OpWrite, "shelf/a/rows", `{"rows":5}`, 204, "")
	say(engine.OpWrite, "shelf/a/rows", `{"books":"z"}`, 400, "")
	say(engine.OpDelete, "shelf/a/rows", "", 204, "")
	say(engine.OpRead, "shelf/a/rows", "", 200, `{"rows":3}`)
	say(engine.OpList, "shelf/", "", 200, `{"keys":["a"]}`)
	say(engine.OpDelete, "shelf/A", "", 204, "")
	say(engine.OpRead, "shelf/a", "", 404, "")
}

func TestCollectionReplaces(t *testing.T) {
	m := enginetest.New(t, deskType(true), nil)
	m.Do(engine.OpWrite, "shelf/a", `{"books":"x","rows":7}`)
	m.Do(engine.OpWrite, "shelf/a", `{"opened":true}`)
	if r := m.Do(engine.OpRead, "shelf/a/rows", ""); string(r.Body) != `{"rows":3}` {
		t.Fatalf("what was not sent is %s, want its default", r.Body)
	}
}

func TestTokenTermsAreChecked(t *testing.T) {
	m := enginetest.New(t, deskType(false), nil)
	for body, want := range map[string]string{
		`{"token_type":"gold"}`:                      `{"errors":["invalid 'token_type' value \"gold\""]}`,
		`{"token_ttl":"2h","token_max_ttl":"1h"}`:    `{"errors":["'token_ttl' cannot be greater than 'token_max_ttl'"]}`,
		`{"token_bound_cidrs":"10.0.0.0/99"}`:        `{"errors":["'token_bound_cidrs': invalid CIDR address: 10.0.0.0/99"]}`,
		`{"token_num_uses":-1}`:                      `{"errors":["'token_num_uses' cannot be negative"]}`,
		`{"token_type":"batch","token_num_uses":1}`:  `{"errors":["'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"]}`,
		`{"token_type":"batch","token_period":"1m"}`: `{"errors":["'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"]}`,
		`{"token_policies":["a"," ROOT "]}`:          `{"errors":["'token_policies' cannot contain 'root': no login gives a root token"]}`,
		`{"token_ttl":"-1s"}`:                        `{"errors":["Field validation failed: error converting input for field \"token_ttl\": cannot provide negative value '-1s'"]}`,
	} {
		if r := m.Do(engine.OpWrite, "shelf/a", body); r.Status != 400 || string(r.Body) != want {
			t.Errorf("%s: %d %s, want %s", body, r.Status, r.Body, want)
		}
	}
	for _, c := range []struct {
		address string
		cidrs   []string
		in      bool
	}{
		{"10.1.2.3", nil, true}, {"10.1.2.3", []string{"10.0.0.0/8"}, true}, {"11.1.2.3", []string{"10.0.0.0/8"}, false},
		{"::ffff:10.1.2.3", []string{"10.1.2.3"}, true}, {"", []string{"10.0.0.0/8"}, false}, {"", nil, true},
	} {
		if engine.Within(c.cidrs, c.address) != c.in {
			t.Errorf("%q within %v: want %v", c.address, c.cidrs, c.in)
		}
	}
}
