// Package script runs the command line against a real server. Each transcript
// in testdata is a story a person could type: it starts a server of its own,
// and says what every step prints and how it ends.
package script
