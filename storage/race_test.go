//go:build race

package storage_test

// The race detector allocates by itself.
func init() { racing = true }
