// Package catalog lists what this build links in: secrets engines, auth methods
// and, later, seals and audit devices. A custom build is a main with a list of
// its own.
package catalog

import (
	"slices"

	"github.com/fastness-dev/fastness/auth/approle"
	"github.com/fastness-dev/fastness/auth/userpass"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/secrets/kv"
	"github.com/fastness-dev/fastness/secrets/transit"
)

// Engines are all engines and auth methods that can be mounted.
func Engines() []engine.Type {
	return slices.Concat(
		kv.Types(),
		transit.Types(),
		approle.Types(),
		userpass.Types(),
	)
}
