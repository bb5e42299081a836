package seal

import (
	"errors"
	"fmt"
	"io"
)

// Errors of Combine.
var (
	ErrTooFewShares    = errors.New("at least two shares are needed")
	ErrShareMismatch   = errors.New("shares are of different lengths")
	ErrDuplicateShare  = errors.New("the same share was given twice")
	ErrShareMalformed  = errors.New("not a share")
	errSecretEmpty     = errors.New("the secret is empty")
	errSharesRange     = errors.New("shares must be between 1 and 255")
	errThresholdRange  = errors.New("threshold must be between 2 and the number of shares")
	errThresholdSingle = errors.New("threshold of a single share must be 1")
)

// Split shares the secret out in parts shares, of which any threshold restore
// it and fewer say nothing about it.
//
// A share is as long as the secret and one byte more:
//
//	f1(x) f2(x) … fn(x) x
//
// where fi is a random polynomial of degree threshold-1 whose value at 0 is
// the i-th byte of the secret, and x, which is no secret, is the share's own.
// A single share is the secret itself, without an x.
func Split(secret []byte, parts, threshold int, rand io.Reader) ([][]byte, error) {
	switch {
	case len(secret) == 0:
		return nil, errSecretEmpty
	case parts < 1 || parts > MaxShares:
		return nil, errSharesRange
	case parts == 1 && threshold != 1:
		return nil, errThresholdSingle
	case parts == 1:
		return [][]byte{append([]byte(nil), secret...)}, nil
	case threshold < 2 || threshold > parts:
		return nil, errThresholdRange
	}
	xs, err := places(parts, rand)
	if err != nil {
		return nil, err
	}
	shares := make([][]byte, parts)
	for i := range shares {
		shares[i] = make([]byte, len(secret)+1)
		shares[i][len(secret)] = xs[i]
	}
	// The polynomial without its constant term. Zero is a legal value for any
	// coefficient, the highest too: leaving it out would tell something.
	poly := make([]byte, threshold-1)
	defer clear(poly)
	for at, constant := range secret {
		if _, err := io.ReadFull(rand, poly); err != nil {
			return nil, fmt.Errorf("read randomness: %w", err)
		}
		for _, share := range shares {
			share[at] = evaluate(constant, poly, share[len(secret)])
		}
	}
	return shares, nil
}

// evaluate returns constant + poly[0]*x + poly[1]*x^2 + …
func evaluate(constant byte, poly []byte, x byte) byte {
	var y byte
	for i := len(poly) - 1; i >= 0; i-- {
		y = mul(y^poly[i], x)
	}
	return y ^ constant
}

// places chooses n different x at random. Random ones make it likely that
// shares of two generations, mixed up, are seen to differ in kind.
func places(n int, rand io.Reader) ([]byte, error) {
	all := make([]byte, MaxShares)
	for i := range all {
		all[i] = byte(i + 1)
	}
	for i := range n {
		j, err := below(MaxShares-i, rand)
		if err != nil {
			return nil, err
		}
		all[i], all[i+j] = all[i+j], all[i]
	}
	return all[:n], nil
}

// below returns a uniform number in [0, n), for n up to 256.
func below(n int, rand io.Reader) (int, error) {
	limit := 256 - 256%n
	var b [1]byte
	for {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, fmt.Errorf("read randomness: %w", err)
		}
		if int(b[0]) < limit {
			return int(b[0]) % n, nil
		}
	}
}

// Combine restores a secret from at least two of its shares. It cannot know
// the threshold: given too few shares, or a wrong one, it returns bytes that
// are not the secret, and whoever uses them has to find out.
func Combine(shares [][]byte) ([]byte, error) {
	if len(shares) < 2 {
		return nil, ErrTooFewShares
	}
	n := len(shares[0]) - 1
	if n < 1 {
		return nil, ErrShareMalformed
	}
	var seen [256]bool
	xs := make([]byte, len(shares))
	for i, share := range shares {
		if len(share) != n+1 {
			return nil, ErrShareMismatch
		}
		x := share[n]
		if x == 0 {
			return nil, ErrShareMalformed
		}
		if seen[x] {
			return nil, ErrDuplicateShare
		}
		seen[x], xs[i] = true, x
	}
	secret := make([]byte, n)
	for i, share := range shares {
		weight := weightAtZero(xs, i)
		for at := range secret {
			secret[at] ^= mul(share[at], weight)
		}
	}
	return secret, nil
}

// weightAtZero is Lagrange's factor of the i-th point for the value at 0: the
// product of xj/(xj-xi) over all others. In this field minus is plus.
func weightAtZero(xs []byte, i int) byte {
	weight := byte(1)
	for j, x := range xs {
		if j != i {
			weight = mul(weight, mul(x, inverse(x^xs[i])))
		}
	}
	return weight
}
