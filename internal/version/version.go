// Package version says which build of Fastness this is and which level of the
// Vault API it speaks. A release sets Version, Commit and Date with -ldflags
// "-X"; any other build falls back to what the Go tool chain recorded.
package version

import (
	"runtime/debug"
	"strings"
)

// APIVersion is the Vault API level that we implement. Clients read it from
// sys/health and sys/seal-status and gate features on it.
const APIVersion = "1.21.0"

// Set by the linker. Empty means: ask the build info.
var (
	Version string // without a leading v, such as 0.1.0
	Commit  string // full hash
	Date    string // RFC 3339
)

// Info is one build, described.
type Info struct {
	Version string
	Commit  string // empty when unknown
	Date    string // empty when unknown; for an unreleased build, the commit's time
}

// Get describes the running binary.
func Get() Info {
	bi, _ := debug.ReadBuildInfo()
	return from(Info{Version, Commit, Date}, bi)
}

// from completes what the linker was told by what the tool chain noted.
func from(i Info, bi *debug.BuildInfo) Info {
	settings := map[string]string{}
	if bi != nil {
		for _, s := range bi.Settings {
			settings[s.Key] = s.Value
		}
		if i.Version == "" && bi.Main.Version != "(devel)" {
			i.Version = bi.Main.Version
		}
	}
	if i.Version == "" {
		i.Version = "0.0.0-dev"
	}
	i.Version = strings.TrimPrefix(i.Version, "v")
	if i.Commit == "" {
		i.Commit = settings["vcs.revision"]
	}
	if i.Date == "" {
		i.Date = settings["vcs.time"]
	}
	return i
}

// String is "v0.1.0 (commit), built date", leaving out what is not known.
func (i Info) String() string {
	s := "v" + i.Version
	if i.Commit != "" {
		s += " (" + i.Commit + ")"
	}
	if i.Date != "" {
		s += ", built " + i.Date
	}
	return s
}
