package govault

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/hashicorp/vault/api"
)

func TestKVVersion1(t *testing.T) {
	c := connect(t)
	mount(t, c, "go-kv1", "1")
	kv := c.KVv1("go-kv1")
	must(t, kv.Put(t.Context(), "app/db", map[string]any{"user": "joe", "port": 5432}))
	secret, err := kv.Get(t.Context(), "app/db")
	must(t, err)
	equal(t, "user", secret.Data["user"], any("joe"))
	equal(t, "port", secret.Data["port"], any(json.Number("5432")))

	must(t, kv.Put(t.Context(), "app/db", map[string]any{"user": "ann"}))
	secret, err = kv.Get(t.Context(), "app/db")
	must(t, err)
	if _, there := secret.Data["port"]; there {
		t.Fatal("a write of KV v1 kept a field that was not sent")
	}

	list, err := c.Logical().List("go-kv1/")
	must(t, err)
	sameList(t, "the top", keys(list), []string{"app/"})
	list, err = c.Logical().List("go-kv1/app")
	must(t, err)
	sameList(t, "the folder", keys(list), []string{"db"})

	must(t, kv.Delete(t.Context(), "app/db"))
	_, err = kv.Get(t.Context(), "app/db")
	if !errors.Is(err, api.ErrSecretNotFound) {
		t.Fatalf("reading a deleted secret: %v", err)
	}
	none, err := c.Logical().List("go-kv1/app")
	must(t, err)
	if none != nil {
		t.Fatalf("an empty folder lists %v", none.Data)
	}
}

func TestKVVersion2(t *testing.T) {
	c, ctx := connect(t), t.Context()
	mount(t, c, "go-kv2", "2")
	kv := c.KVv2("go-kv2")

	first, err := kv.Put(ctx, "app/db", map[string]any{"user": "joe", "nested": map[string]any{"a": "1"}}, api.WithCheckAndSet(0))
	must(t, err)
	equal(t, "the first version", first.VersionMetadata.Version, 1)
	_, err = kv.Put(ctx, "app/db", map[string]any{"user": "ann"}, api.WithCheckAndSet(0))
	refused(t, err, http.StatusBadRequest, "check-and-set parameter did not match the current version")
	_, err = kv.Put(ctx, "app/db", map[string]any{"user": "ann", "nested": map[string]any{"a": "1"}}, api.WithCheckAndSet(1))
	must(t, err)

	third, err := kv.Patch(ctx, "app/db", map[string]any{"nested": map[string]any{"b": "2"}})
	must(t, err)
	equal(t, "the patched version", third.VersionMetadata.Version, 3)
	now, err := kv.Get(ctx, "app/db")
	must(t, err)
	equal(t, "user after the patch", now.Data["user"], any("ann"))
	nested := now.Data["nested"].(map[string]any)
	equal(t, "what the patch left", nested["a"], any("1"))
	equal(t, "what the patch added", nested["b"], any("2"))
	if _, err = kv.Patch(ctx, "app/none", map[string]any{"x": "y"}); !errors.Is(err, api.ErrSecretNotFound) {
		t.Fatalf("a patch of nothing ended with %v", err)
	}

	old, err := kv.GetVersion(ctx, "app/db", 1)
	must(t, err)
	equal(t, "user of version 1", old.Data["user"], any("joe"))
	versions, err := kv.GetVersionsAsList(ctx, "app/db")
	must(t, err)
	equal(t, "the number of versions", len(versions), 3)

	sub, err := c.Logical().Read("go-kv2/subkeys/app/db")
	must(t, err)
	subkeys := sub.Data["subkeys"].(map[string]any)
	if value, there := subkeys["user"]; !there || value != nil {
		t.Fatalf("subkeys are %v, want user without its value", subkeys)
	}

	must(t, kv.Delete(ctx, "app/db"))
	deleted, err := kv.Get(ctx, "app/db")
	must(t, err)
	if deleted.Data != nil || deleted.VersionMetadata.DeletionTime.IsZero() {
		t.Fatalf("a deleted version reads as %+v", deleted)
	}
	must(t, kv.Undelete(ctx, "app/db", []int{3}))
	back, err := kv.Get(ctx, "app/db")
	must(t, err)
	equal(t, "user after undelete", back.Data["user"], any("ann"))
	must(t, kv.DeleteVersions(ctx, "app/db", []int{2}))
	must(t, kv.Destroy(ctx, "app/db", []int{1}))
	meta, err := kv.GetMetadata(ctx, "app/db")
	must(t, err)
	equal(t, "version 1 destroyed", meta.Versions["1"].Destroyed, true)
	equal(t, "version 2 destroyed", meta.Versions["2"].Destroyed, false)
	if meta.Versions["2"].DeletionTime.IsZero() {
		t.Fatal("version 2 has no deletion time")
	}

	rolled, err := kv.Rollback(ctx, "app/db", 3)
	must(t, err)
	equal(t, "the version of the rollback", rolled.VersionMetadata.Version, 4)

	list, err := c.Logical().List("go-kv2/metadata/app")
	must(t, err)
	sameList(t, "the folder", keys(list), []string{"db"})

	must(t, kv.DeleteMetadata(ctx, "app/db"))
	_, err = kv.Get(ctx, "app/db")
	if !errors.Is(err, api.ErrSecretNotFound) {
		t.Fatalf("reading what metadata delete removed: %v", err)
	}
}

func TestKVMetadata(t *testing.T) {
	c, ctx := connect(t), t.Context()
	mount(t, c, "go-meta", "2")
	kv := c.KVv2("go-meta")
	must(t, kv.PutMetadata(ctx, "s", api.KVMetadataPutInput{
		MaxVersions:    2,
		CASRequired:    true,
		CustomMetadata: map[string]any{"owner": "joe", "team": "red"},
	}))
	_, err := kv.Put(ctx, "s", map[string]any{"n": "1"})
	refused(t, err, http.StatusBadRequest, "check-and-set parameter required for this call")
	for version := range 3 {
		_, err := kv.Put(ctx, "s", map[string]any{"n": version}, api.WithCheckAndSet(version))
		must(t, err)
	}
	meta, err := kv.GetMetadata(ctx, "s")
	must(t, err)
	equal(t, "the versions kept", len(meta.Versions), 2)
	equal(t, "the oldest version", meta.OldestVersion, 2)
	equal(t, "the current version", meta.CurrentVersion, 3)
	equal(t, "cas_required", meta.CASRequired, true)
	equal(t, "owner", meta.CustomMetadata["owner"], any("joe"))

	must(t, kv.PatchMetadata(ctx, "s", api.KVMetadataPatchInput{CustomMetadata: map[string]any{"team": nil, "tier": "1"}}))
	secret, err := kv.Get(ctx, "s")
	must(t, err)
	equal(t, "owner after the patch", secret.CustomMetadata["owner"], any("joe"))
	equal(t, "tier after the patch", secret.CustomMetadata["tier"], any("1"))
	if _, there := secret.CustomMetadata["team"]; there {
		t.Fatal("a null in a metadata patch left its key")
	}

	_, err = c.Logical().Write("go-meta/config", map[string]any{"max_versions": 5, "delete_version_after": "1h"})
	must(t, err)
	config, err := c.Logical().Read("go-meta/config")
	must(t, err)
	equal(t, "max_versions of the mount", config.Data["max_versions"], any(json.Number("5")))
	equal(t, "delete_version_after of the mount", config.Data["delete_version_after"], any("1h0m0s"))
}

// TestNotFoundHasNoErrors: tools tell "nothing there" from "no such route" by
// the empty list.
func TestNotFoundHasNoErrors(t *testing.T) {
	c := connect(t)
	mount(t, c, "go-404", "2")
	for path, want := range map[string]bool{"go-404/data/none": true, "go-no-mount/x": false} {
		resp, err := c.Logical().ReadRaw(path)
		if resp == nil {
			t.Fatal(err)
		}
		var body struct{ Errors []string }
		must(t, json.NewDecoder(resp.Body).Decode(&body))
		resp.Body.Close()
		equal(t, "the status of "+path, resp.StatusCode, http.StatusNotFound)
		equal(t, "no errors for "+path, len(body.Errors) == 0, want)
	}
}

func keys(list *api.Secret) []string {
	if list == nil {
		return nil
	}
	var names []string
	for _, name := range list.Data["keys"].([]any) {
		names = append(names, name.(string))
	}
	return names
}
