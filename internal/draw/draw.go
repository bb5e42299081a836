// Package draw draws the random texts that ids and tokens are made of.
//
// It promises that every character is as likely as any other.
package draw

import (
	"fmt"
	"io"
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// Base62 draws n digits and letters. The error is the source's.
func Base62(source io.Reader, n int) (string, error) {
	out := make([]byte, 0, n)
	var buf [32]byte
	defer clear(buf[:])
	for len(out) < n {
		if _, err := io.ReadFull(source, buf[:]); err != nil {
			return "", fmt.Errorf("draw random text: %w", err)
		}
		for _, b := range buf {
			if b < 4*62 && len(out) < n { // the rest would favour some characters
				out = append(out, alphabet[b%62])
			}
		}
	}
	return string(out), nil
}
