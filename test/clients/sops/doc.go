// Package sops pins SOPS, which encrypts files for people with keys of Vault's.
// It is a module of its own, so that the product does not depend on it, and is
// built and run by `go test ./test/clients/` of the main module.
package sops
