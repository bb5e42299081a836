// Package clients runs Vault clients that nobody here wrote against a freshly
// built server over TLS: the Go API library, hvac (Python) and node-vault.
//
// Each client is a program of its own in its own folder, with its own pinned
// dependencies, so that the product depends on none of them. The test installs
// what they need into .cache at the root of the module and says so.
package clients
