package seal

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Settings are the keys of a seal's stanza. What is wrong with them is gathered
// until Err. A value of the form env://NAME is that variable's, and file://PATH
// that file's content without the line break at its end.
type Settings struct {
	values map[string]string
	getenv func(string) string
	errs   []error
}

// NewSettings returns the settings of one stanza. getenv serves the variables
// that override it; nil lets none do so, as where two stanzas are of one type.
func NewSettings(values map[string]string, getenv func(string) string) *Settings {
	return &Settings{values: values, getenv: getenv}
}

// Text is the value of a key. The first of the variables that is set wins over
// the stanza; FASTNESS_X stands for VAULT_X and wins over it.
func (s *Settings) Text(key string, variables ...string) string {
	if found := s.variable(variables); found != "" {
		return s.resolve(key, found)
	}
	return s.resolve(key, s.values[key])
}

// Fallback is Text the other way round: variables count only where the stanza is
// silent. It is for those that other programs on the machine read too.
func (s *Settings) Fallback(key string, variables ...string) string {
	if v := s.values[key]; v != "" {
		return s.resolve(key, v)
	}
	return s.variable(variables)
}

func (s *Settings) variable(names []string) string {
	if s.getenv == nil {
		return ""
	}
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, "VAULT_"); ok {
			if found := s.getenv("FASTNESS_" + rest); found != "" {
				return found
			}
		}
		if found := s.getenv(name); found != "" {
			return found
		}
	}
	return ""
}

// Default is Text, or what stands for an absent value.
func (s *Settings) Default(key, absent string, variables ...string) string {
	if v := s.Text(key, variables...); v != "" {
		return v
	}
	return absent
}

// Need is Text of a key that cannot be absent.
func (s *Settings) Need(key string, variables ...string) string {
	v := s.Text(key, variables...)
	if v == "" {
		hint := ""
		if len(variables) > 0 {
			hint = " in the stanza, or " + variables[0] + " in the environment"
		}
		s.fail(key, "is missing: set it"+hint)
	}
	return v
}

// Flag is a value that is true or false.
func (s *Settings) Flag(key string, variables ...string) bool {
	v := s.Text(key, variables...)
	if v == "" {
		return false
	}
	b, err := strconv.ParseBool(strings.ToLower(v))
	if err != nil {
		s.fail(key, "must be true or false")
	}
	return b
}

// Number is a value that is a whole number, in decimal or after 0x in
// hexadecimal.
func (s *Settings) Number(key string, absent uint64, variables ...string) uint64 {
	v := s.Text(key, variables...)
	if v == "" {
		return absent
	}
	n, err := strconv.ParseUint(v, 0, 64)
	if err != nil {
		s.fail(key, "must be a number")
	}
	return n
}

// Fail notes what is wrong with a key. reason holds no value.
func (s *Settings) Fail(key, reason string) { s.fail(key, reason) }

func (s *Settings) fail(key, reason string) {
	s.errs = append(s.errs, fmt.Errorf("%q %s", key, reason))
}

// Err is all that was wrong so far.
func (s *Settings) Err() error { return errors.Join(s.errs...) }

func (s *Settings) resolve(key, value string) string {
	if name, ok := strings.CutPrefix(value, "env://"); ok {
		// The stanza asks for this variable, so it is read even where none may
		// override.
		found := os.Getenv(name)
		if s.getenv != nil {
			found = s.getenv(name)
		}
		if found == "" {
			s.fail(key, "names the variable "+name+", which is not set")
		}
		return found
	}
	path, ok := strings.CutPrefix(value, "file://")
	if !ok {
		return value
	}
	content, err := os.ReadFile(path)
	if err != nil {
		s.fail(key, fmt.Sprintf("cannot be read from its file: %v", err))
		return ""
	}
	if len(content) == sealKeySize {
		return string(content) // a raw key may end in any byte
	}
	return strings.TrimRight(string(content), "\r\n")
}
