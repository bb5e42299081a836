//go:build !linux

package sys

// diskAt measures nothing here.
func diskAt(string) (hostDisk, bool) { return hostDisk{}, false }
