package approle

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// checkCIDRs refuses what is no network. Networks are kept as they were
// written, since tools compare them with what they sent.
func checkCIDRs(field string, list []string) error {
	if _, err := engine.NormalizeCIDRs(list); err != nil {
		return engine.Bad("'%s': failed to validate CIDR blocks: %s", field, err)
	}
	return nil
}

// inside says whether every network of some lies in one of others. No others
// hold everything.
func inside(some, others []string) bool {
	return len(others) == 0 || !slices.ContainsFunc(some, func(s string) bool { return !holds(others, s) })
}

func holds(others []string, s string) bool {
	p, err := prefixOf(s)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(others, func(o string) bool {
		q, err := prefixOf(o)
		return err == nil && q.Bits() <= p.Bits() && q.Contains(p.Addr())
	})
}

// overlap is where two lists of networks meet; two networks are apart, or one
// lies in the other.
func overlap(a, b []string) []string {
	var out []string
	for _, s := range a {
		if holds(b, s) {
			out = append(out, s)
		}
	}
	for _, s := range b {
		if holds(a, s) && !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func prefixOf(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	return p.Masked(), err
}
