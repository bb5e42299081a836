// Package fastness names the module and holds the test that keeps its shape.
//
// It exports nothing. The program is cmd/fastness; ARCHITECTURE.md says what
// every folder owns, and arch_test.go fails when an import, a missing package
// doc or a licence breaks what is written there.
package fastness
