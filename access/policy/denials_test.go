package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestDenialsAreBounded(t *testing.T) {
	d := NewDenials(3)
	for i := range 5 {
		d.Add(Denial{ID: fmt.Sprint(i), Path: strings.Repeat("p", 1<<20)})
	}
	var ids string
	for _, n := range d.Recent() {
		ids += n.ID
		if len(n.Path) > longest+len("…") {
			t.Errorf("%d bytes of a path are kept", len(n.Path))
		}
	}
	if ids != "432" {
		t.Errorf("remembered %s", ids)
	}
	if _, ok := d.Get("1"); ok {
		t.Error("the oldest is still found")
	}
	if n, ok := d.Get("4"); !ok || n.ID != "4" {
		t.Errorf("%+v", n)
	}
	if d.Drop(); len(d.Recent()) != 0 {
		t.Error("not dropped")
	}
	if _, ok := d.Get("4"); ok {
		t.Error("found after all were dropped")
	}
}
