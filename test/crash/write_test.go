package crash

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/test/clients/target"
)

// The mounts that the writers use; v1 and v2 are also their paths.
const (
	v1 = "v1"
	v2 = "v2"
)

// A write is one attempt to put the payload {n, twice: 2n} at a path.
type write struct {
	engine string // v1 or v2
	path   string // below the mount
	n      int
	acked  bool
}

func mount(ctx context.Context, s *target.Server) error {
	for engine, version := range map[string]string{v1: "1", v2: "2"} {
		body := map[string]any{"type": "kv", "options": map[string]string{"version": version}}
		if err := s.Do(ctx, http.MethodPost, "/v1/sys/mounts/"+engine, body, nil); err != nil {
			return err
		}
	}
	return nil
}

func (w write) url() string {
	if w.engine == v1 {
		return "/v1/v1/" + w.path
	}
	return "/v1/v2/data/" + w.path
}

func (w write) put(ctx context.Context, s *target.Server) error {
	fields := payload{w.n, 2 * w.n}
	if w.engine == v1 {
		return s.Do(ctx, http.MethodPost, w.url(), fields, nil)
	}
	return s.Do(ctx, http.MethodPost, w.url(), map[string]payload{"data": fields}, nil)
}

type payload struct {
	N     int `json:"n"`
	Twice int `json:"twice"`
}

// found is what the server has at a path.
type found struct {
	payload
	version int // 0 in a v1 mount
}

// read answers nil where nothing is: a v2 path without data but with metadata
// is an error, as is a version that the two disagree on.
func (w write) read(ctx context.Context, s *target.Server) (*found, error) {
	if w.engine == v1 {
		var got struct{ Data payload }
		if err := s.Do(ctx, http.MethodGet, w.url(), nil, &got); err != nil {
			return nil, absent(err)
		}
		return &found{payload: got.Data}, nil
	}
	var got struct {
		Data struct {
			Data     payload
			Metadata struct{ Version int }
		}
	}
	var meta struct {
		Data struct {
			Current  int `json:"current_version"`
			Versions map[string]struct{}
		}
	}
	dataErr := s.Do(ctx, http.MethodGet, w.url(), nil, &got)
	metaErr := s.Do(ctx, http.MethodGet, "/v1/v2/metadata/"+w.path, nil, &meta)
	switch {
	case absent(dataErr) != nil || absent(metaErr) != nil:
		return nil, fmt.Errorf("data: %v; metadata: %v", dataErr, metaErr)
	case dataErr != nil && metaErr != nil:
		return nil, nil //nolint:nilerr // both are 404: nothing is there, and that is the answer
	case dataErr != nil || metaErr != nil:
		return nil, fmt.Errorf("half is there: data: %v; metadata: %v", dataErr, metaErr)
	case got.Data.Metadata.Version != meta.Data.Current || len(meta.Data.Versions) != meta.Data.Current:
		return nil, fmt.Errorf("data is at version %d, metadata at %d with %d versions",
			got.Data.Metadata.Version, meta.Data.Current, len(meta.Data.Versions))
	}
	return &found{got.Data.Data, meta.Data.Current}, nil
}

// absent drops the error that says that nothing is there.
func absent(err error) error {
	if err != nil && strings.Contains(err.Error(), " answered 404: ") {
		return nil
	}
	return err
}

// check reads a path that was written once: the write must be there if it was
// acknowledged, and whole if it is there.
func (w write) check(ctx context.Context, t *testing.T, s *target.Server) {
	t.Helper()
	got, err := w.read(ctx, s)
	want := found{payload: payload{w.n, 2 * w.n}}
	if w.engine == v2 {
		want.version = 1
	}
	switch {
	case err != nil:
		t.Errorf("%s: %v", w.url(), err)
	case got == nil && w.acked:
		t.Errorf("%s was acknowledged and is lost", w.url())
	case got != nil && *got != want:
		t.Errorf("%s holds %+v, want %+v", w.url(), *got, want)
	}
}
