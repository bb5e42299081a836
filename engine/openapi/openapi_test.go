package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/openapi"
)

type box struct{}

type key struct {
	Name string `path:"name" doc:"Name of the thing."`
}

type more struct {
	Size int `json:"size" doc:"How large it is."`
}

type thing struct {
	key
	More   more            `inline:"true"`
	TTL    engine.Duration `json:"ttl" doc:"How long it lasts."`
	Secret string          `json:"secret" secret:"true" required:"true" doc:"What to keep."`
}

func boxInfo() *engine.Info {
	return (&engine.Spec[box]{Name: "box", Kind: engine.Secret, Help: "Keeps things.", Routes: engine.Routes[box]{
		engine.Read("things/{name}", func(*box, engine.View, key) (*thing, error) { return nil, nil }).Doc("Show a thing."),
		engine.Write("things/{name}", func(*box, engine.Tx, thing) (engine.None, error) { return engine.None{}, nil }).Sudo().Doc("Keep a thing."),
		engine.List("things", func(*box, engine.View, engine.None) (engine.Keys, error) { return engine.Keys{}, nil }).Doc("List the things."),
		engine.Compute("mix[/{how:fast|slow}]", func(*box, engine.View, engine.None) (engine.None, error) { return engine.None{}, nil }).Public().Doc("Mix."),
	}}).Type().Info()
}

func TestDocumentTellsWhatRoutesTake(t *testing.T) {
	d := openapi.New("1.21.0")
	d.Add(openapi.Mount{Path: "b/", Info: boxInfo()}, false)
	p := d.Paths["/b/things/{name}"]
	if p == nil || p.Get == nil || p.Post == nil || !p.Sudo || p.Unauthenticated {
		t.Fatalf("got %+v", p)
	}
	body := p.Post.RequestBody.Content["application/json"].Schema
	if body.Properties["ttl"].Format != "duration" || body.Properties["name"] != nil || body.Properties["size"] == nil || body.Required[0] != "secret" {
		t.Fatalf("got %+v", body)
	}
	if list := d.Paths["/b/things"]; list.Get == nil || !list.Get.Parameters[0].Required {
		t.Fatalf("got %+v", list)
	}
	if short, long := d.Paths["/b/mix"], d.Paths["/b/mix/{how}"]; short == nil || long == nil || !long.Unauthenticated || len(long.Parameters[0].Schema.Enum) != 2 {
		t.Fatalf("got %+v and %+v", short, long)
	}
	if _, err := json.Marshal(d); err != nil {
		t.Fatal(err)
	}
}

// Routes that share the type of their request tell of what each of them knows.
func TestCollectionsTellWhatEachRouteTakes(t *testing.T) {
	c := engine.Collection[box, thing]{Path: "box", Noun: "box"}
	info := (&engine.Spec[box]{Name: "box", Kind: engine.Secret, Routes: append(c.Routes(), c.Fields("size", "size")...)}).Type().Info()
	d := openapi.New("1.21.0")
	d.Add(openapi.Mount{Path: "b/", Info: info}, false)
	item, size := d.Paths["/b/box/{name}"], d.Paths["/b/box/{name}/size"]
	if n := len(item.Get.Parameters) + len(size.Get.Parameters); n > 0 {
		t.Errorf("%d parameters of reads: %+v, %+v", n, item.Get.Parameters, size.Get.Parameters)
	}
	if all := item.Post.RequestBody.Content["application/json"].Schema.Properties; len(all) != 3 {
		t.Errorf("a box has %d fields: %+v", len(all), all)
	}
	if one := size.Post.RequestBody.Content["application/json"].Schema; len(one.Properties) != 1 || one.Properties["size"] == nil || len(one.Required) > 0 {
		t.Errorf("its size has %+v", one)
	}
}

func TestGenericPathsNameTheMount(t *testing.T) {
	d := openapi.New("1.21.0")
	d.Add(openapi.Mount{Path: "b/", Info: boxInfo()}, true)
	p := d.Paths["/{box_mount_path}/things"]
	if p == nil || p.Parameters[0].Schema.Default != "b" {
		t.Fatalf("got %+v", p)
	}
}

func TestHelpTellsOfAMountAndOfARoute(t *testing.T) {
	info := boxInfo()
	all := openapi.Help("1.21.0", openapi.Mount{Path: "b/", Info: info}, nil)
	if !strings.Contains(all.Help, "Keeps things.") || !strings.Contains(all.Help, "mix[/{how:fast|slow}]") {
		t.Fatal(all.Help)
	}
	one := openapi.Help("1.21.0", openapi.Mount{Path: "b/", Info: info}, info.Routes[1])
	if !strings.Contains(one.Help, "ttl (duration)") || len(one.OpenAPI.Paths) != 1 {
		t.Fatalf("%d paths: %s", len(one.OpenAPI.Paths), one.Help)
	}
}
