//go:build race

package engine_test

// The race detector allocates by itself.
func init() { racing = true }
