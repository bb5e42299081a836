// Package govault runs HashiCorp's Go API library against a Fastness server.
// It is a module of its own, so that the product does not depend on it, and is
// started by `go test ./test/clients/` of the main module.
package govault
