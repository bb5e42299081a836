package storage

import "encoding/binary"

// A Range is a named part of the key space. All its rows share a prefix, so it
// is dropped in constant time. NS is the namespace's number (0 is the root
// namespace), ID says which range of that namespace. A Global range exists once,
// in the root namespace, whichever namespace a transaction sees.
type Range struct {
	NS     uint32
	ID     uint32
	Kind   RangeKind
	Global bool
}

// A RangeKind says how the rows of a range are addressed.
type RangeKind byte

// The kinds of range.
const (
	// Tree rows have paths; names are hidden; Children lists one level.
	Tree RangeKind = iota
	// Flat rows have paths and hidden names but cannot be listed: for large
	// sets that are only ever looked up (tokens, leases).
	Flat
	// Ordered rows keep their keys as they are and are scanned in order: for
	// indexes by time or owner. Never put a secret or a name in such a key.
	Ordered
	// Bare rows are neither sealed nor hidden: what must be read before the
	// keys are known (seal configuration, the wrapped root key). Writers seal
	// what needs sealing themselves.
	Bare
)

// Every key range of the store has its line here. Numbers are part of the
// format on disk: never reuse one.
var (
	Core        = Range{ID: 1, Kind: Bare, Global: true}    // seal configuration, keyring, wrapped root key
	System      = Range{ID: 2, Kind: Tree, Global: true}    // cluster, CORS, UI headers, versions, counters of ids
	Mounts      = Range{ID: 3, Kind: Tree}                  // entry/<id>: the mount table
	Policies    = Range{ID: 4, Kind: Tree}                  // acl/<name>, password/<name>
	Tokens      = Range{ID: 5, Kind: Flat}                  // token entries by salted id
	Accessors   = Range{ID: 6, Kind: Tree}                  // accessor -> token
	TokenTree   = Range{ID: 7, Kind: Ordered}               // parent -> child
	Leases      = Range{ID: 8, Kind: Tree}                  // lease records by id
	Due         = Range{ID: 9, Kind: Ordered, Global: true} // time -> job
	When        = Range{ID: 10, Kind: Flat, Global: true}   // job -> time
	Owners      = Range{ID: 11, Kind: Ordered}              // owner -> lease
	Audits      = Range{ID: 12, Kind: Tree, Global: true}   // audit devices and their salts
	Wraps       = Range{ID: 13, Kind: Flat}                 // wrapped answers by wrapping token
	Namespaces  = Range{ID: 14, Kind: Tree, Global: true}   // namespaces by id
	Identities  = Range{ID: 15, Kind: Tree}                 // entities and their aliases, identity token roles, providers
	Aliases     = Range{ID: 16, Kind: Flat}                 // what finds an entity: name, alias, id before a merge
	TokenRoles  = Range{ID: 17, Kind: Tree}                 // roles of tokens
	Quotas      = Range{ID: 18, Kind: Tree, Global: true}   // quotas by name
	Lockouts    = Range{ID: 19, Kind: Tree}                 // failed logins by mount and alias; who is locked out
	MFA         = Range{ID: 20, Kind: Tree}                 // methods and enforcements of second factors
	Members     = Range{ID: 21, Kind: Ordered}              // group -> entity
	Controls    = Range{ID: 22, Kind: Flat}                 // requests that wait for approval
	Groups      = Range{ID: 23, Kind: Tree}                 // groups by id: apart from entities, since they are kept whole in memory
	Counts      = Range{ID: 24, Kind: Flat, Global: true}   // of leases, by quota: apart from quotas, which are read far more often
	Factors     = Range{ID: 25, Kind: Tree}                 // second factors of entities, failures to prove them, logins that wait: apart from MFA, which is kept whole in memory
	Irrevocable = Range{ID: 26, Kind: Ordered}              // leases that could not be undone, by mount
)

// firstMount is the first number given to a mount's own range.
const firstMount = 1 << 16

// MountRange is the range of the mount with the given number, in the namespace
// that a transaction sees.
func MountRange(number uint32) Range { return Range{ID: firstMount + number, Kind: Tree} }

// Tables: the first byte of a row's key.
const (
	tableValue   = 'v' // v ns id H16(path) -> sealed value
	tableChild   = 'c' // c ns id H16(parent) H16(parent/name) -> flags, sealed name
	tableOrdered = 'x' // x ns id key -> sealed value
	tableBare    = 'b' // b ns id path -> bytes
)

func (r Range) append(dst []byte, table byte) []byte {
	dst = append(dst, table)
	dst = binary.BigEndian.AppendUint32(dst, r.NS)
	return binary.BigEndian.AppendUint32(dst, r.ID)
}

// RangeOf is the number of the namespace and of the range that a row lies in,
// by its key. ok is false for a key that is no row's of a Store.
func RangeOf(key []byte) (ns, id uint32, ok bool) {
	if len(key) < 9 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint32(key[1:]), binary.BigEndian.Uint32(key[5:]), true
}

// BareKey is the key of a row of a Bare range of the root namespace.
func BareKey(r Range, path string) []byte { return append(r.append(nil, tableBare), path...) }
