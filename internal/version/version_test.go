package version

import (
	"runtime/debug"
	"testing"
)

func TestLinkerWinsOverBuildInfo(t *testing.T) {
	bi := &debug.BuildInfo{Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"},
		{Key: "vcs.time", Value: "2026-01-02T03:04:05Z"},
	}}
	bi.Main.Version = "v1.2.3"

	for _, tc := range []struct {
		name string
		set  Info
		bi   *debug.BuildInfo
		want string
	}{
		{"release", Info{"0.1.0", "def", "2026-02-02T00:00:00Z"}, bi, "v0.1.0 (def), built 2026-02-02T00:00:00Z"},
		{"go install", Info{}, bi, "v1.2.3 (abc), built 2026-01-02T03:04:05Z"},
		{"nothing known", Info{}, nil, "v0.0.0-dev"},
		{"leading v dropped once", Info{Version: "v2.0.0"}, nil, "v2.0.0"},
	} {
		if got := from(tc.set, tc.bi).String(); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}
