// Package catalog lists what this build links in: secrets engines, auth methods
// and seals. A custom build is a main with a list of
// its own.
package catalog

import (
	"slices"

	"github.com/fastness-dev/fastness/auth/approle"
	"github.com/fastness-dev/fastness/auth/userpass"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/secrets/kv"
	"github.com/fastness-dev/fastness/secrets/transit"
	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/alicloudkms"
	"github.com/fastness-dev/fastness/storage/seal/awskms"
	"github.com/fastness-dev/fastness/storage/seal/azurekeyvault"
	"github.com/fastness-dev/fastness/storage/seal/gcpckms"
	"github.com/fastness-dev/fastness/storage/seal/ocikms"
	"github.com/fastness-dev/fastness/storage/seal/pkcs11"
	"github.com/fastness-dev/fastness/storage/seal/static"
	"github.com/fastness-dev/fastness/storage/seal/tpm"
	transitseal "github.com/fastness-dev/fastness/storage/seal/transit"
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

// Seals are all seals that open by themselves.
func Seals() []seal.Kind {
	return []seal.Kind{
		alicloudkms.Kind(),
		awskms.Kind(),
		azurekeyvault.Kind(),
		gcpckms.Kind(),
		ocikms.Kind(),
		pkcs11.Kind(),
		static.Kind(),
		tpm.Kind(),
		transitseal.Kind(),
	}
}
