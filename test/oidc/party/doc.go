// Package party is an application that lets people in by OpenID Connect, with
// the libraries that most Go programs take for it, and tests of a Fastness
// server by it. They are started by `go test ./test/oidc/` of the main module.
package party
