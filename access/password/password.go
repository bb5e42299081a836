// Package password owns the policies that generated passwords follow: their
// text in HCL or JSON, where they are kept, and the generator.
//
// It promises that every password which fits a policy is as likely as any other,
// and that a policy which was accepted gives passwords: what asks for too much
// is refused when it is written.
package password

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Bounds of a policy.
const (
	MinLength = 4
	MaxLength = 100
	maxText   = 64 << 10 // bytes
)

// A Policy says what a password is like.
type Policy struct {
	Text   string
	Length int // characters
	Rules  []Rule
}

// A Rule asks for characters of a set. All sets together are what a password
// consists of.
type Rule struct {
	Charset  []rune // sorted, each once
	MinChars int
}

// ErrUnlikely says that passwords which fit a policy are too rare to be found
// by trying.
var ErrUnlikely = errors.New("the rules leave too few passwords to find one")

// tries is how often Generate draws before it gives up. A policy is accepted
// when a 32nd of that found one, several times in a row.
const tries = 1 << 14

// Generate draws a password.
func (p *Policy) Generate(random io.Reader) (string, error) { return p.generate(random, tries) }

func (p *Policy) generate(random io.Reader, tries int) (string, error) {
	all := p.alphabet()
	in := bufio.NewReaderSize(random, 4*p.Length)
	drawn := make([]rune, p.Length)
	for range tries {
		for i := range drawn {
			n, err := below(in, uint32(len(all)))
			if err != nil {
				return "", fmt.Errorf("draw a password: %w", err)
			}
			drawn[i] = all[n]
		}
		if p.fits(drawn) {
			return string(drawn), nil
		}
	}
	return "", ErrUnlikely
}

// alphabet is every character that may occur, once.
func (p *Policy) alphabet() []rune {
	var all []rune
	for _, r := range p.Rules {
		all = append(all, r.Charset...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *Policy) fits(drawn []rune) bool {
	for _, r := range p.Rules {
		n := 0
		for _, c := range drawn {
			if _, ok := slices.BinarySearch(r.Charset, c); ok {
				n++
			}
		}
		if n < r.MinChars {
			return false
		}
	}
	return true
}

// below is a number below n, each as likely as any other: what would favour the
// small ones is thrown away.
func below(in io.Reader, n uint32) (uint32, error) {
	limit := ^uint32(0) - ^uint32(0)%n
	for {
		var b [4]byte
		if _, err := io.ReadFull(in, b[:]); err != nil {
			return 0, err
		}
		if v := binary.BigEndian.Uint32(b[:]); v < limit {
			return v % n, nil
		}
	}
}

// check refuses what gives no passwords.
func (p *Policy) check(random io.Reader) error {
	switch {
	case len(p.Rules) == 0:
		return errors.New("no charset specified")
	case p.Length < MinLength || p.Length > MaxLength:
		return fmt.Errorf("passwords must be between %d and %d characters", MinLength, MaxLength)
	}
	sum := 0
	for _, r := range p.Rules {
		if r.MinChars < 0 || r.MinChars > p.Length {
			return fmt.Errorf("specified rules require at least %d characters but %d is specified", r.MinChars, p.Length)
		}
		sum += r.MinChars
	}
	if sum > p.Length {
		return fmt.Errorf("specified rules require at least %d characters but %d is specified", sum, p.Length)
	}
	for range 8 {
		if _, err := p.generate(random, tries/32); err != nil {
			return err
		}
	}
	return nil
}

// charset reads the characters of a rule.
func charset(s string) ([]rune, error) {
	if s == "" {
		return nil, errors.New("charset cannot be empty")
	}
	if i := strings.IndexFunc(s, unfit); i >= 0 {
		return nil, errors.New("charset has a character that cannot be printed")
	}
	set := []rune(s)
	slices.Sort(set)
	return slices.Compact(set), nil
}
