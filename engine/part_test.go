package engine_test

import (
	"testing"
	"time"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

// A drawer is a part of a desk, with one item that nobody wrote.
type drawer struct{ label string }

type pen struct {
	Ink  string `json:"ink" default:"blue"`
	Owed bool   `json:"owed"`
}

func pens() *engine.Collection[drawer, pen] {
	return &engine.Collection[drawer, pen]{Path: "pen", Noun: "pen", Given: map[string]pen{"first": {Ink: "black"}},
		Info: func(d *drawer, _ engine.View, item *engine.Item[pen]) (any, error) {
			if item.Value.Owed {
				return nil, nil
			}
			return map[string]string{"in": d.label + " " + item.Value.Ink}, nil
		},
		Written: func(_ *drawer, tx engine.Tx, item *engine.Item[pen]) (any, error) {
			tx.At(tx.Now().Add(time.Hour), "dry", item.Name)
			return nil, nil
		}}
}

// A part's routes and jobs are the engine's; what is given is there, can be
// changed, and is as it was given once it is deleted.
func TestPart(t *testing.T) {
	part := &drawer{label: "top"}
	m := enginetest.New(t, (&engine.Spec[desk]{Name: "desk", Kind: engine.Secret,
		Routes: engine.Part[desk](part, pens().Routes()),
		Jobs: engine.PartJobs[desk](part, engine.Jobs[drawer]{"dry": func(d *drawer, tx engine.Tx, id string) error {
			pens().Table(tx).Put(id, &pen{Ink: d.label + " dry"})
			return nil
		}})}).Type(), nil)
	for _, step := range []struct {
		op         engine.Op
		path, body string
		status     int
		want       string
	}{
		{engine.OpList, "pen", "", 200, `{"keys":["first"],"key_info":{"first":{"in":"top black"}}}`},
		{engine.OpRead, "pen/first", "", 200, `{"ink":"black","owed":false}`},
		{engine.OpWrite, "pen/first", `{"owed":true}`, 204, ""},
		{engine.OpRead, "pen/first", "", 200, `{"ink":"black","owed":true}`},
		{engine.OpList, "pen", "", 404, ""},
		{engine.OpDelete, "pen/first", "", 204, ""},
		{engine.OpWrite, "pen/new", `{}`, 204, ""},
		{engine.OpList, "pen", "", 200, `{"keys":["first","new"],"key_info":{"first":{"in":"top black"},"new":{"in":"top blue"}}}`},
	} {
		r := m.Do(step.op, step.path, step.body)
		if r.Status != step.status || step.want != "" && string(r.Body) != step.want {
			t.Fatalf("%s %s %s: %d %s, want %d %s", step.op, step.path, step.body, r.Status, r.Body, step.status, step.want)
		}
	}
	if err := m.Advance(2 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if r := m.Do(engine.OpRead, "pen/new", ""); string(r.Body) != `{"ink":"top dry","owed":false}` {
		t.Errorf("after the job: %s", r.Body)
	}
}
