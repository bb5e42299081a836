// Package attacks replays published advisories against a whole server.
//
// Each test carries the name of its advisory, asserts that the attack is
// refused, and asserts that its legitimate neighbour still works.
package attacks
