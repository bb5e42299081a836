package policy

import (
	"slices"
	"strings"
)

// Caps is a set of capabilities.
type Caps uint16

// The capabilities that a rule may name. Deny stands alone: it takes all others
// away.
const (
	Deny Caps = 1 << iota
	CanCreate
	CanRead
	CanUpdate
	CanDelete
	CanList
	CanPatch
	CanSudo
	CanScan      // list a whole tree
	CanSubscribe // receive events about the path
	CanRecover   // bring back from a snapshot
)

const capCount = 11

// capNames is the one place where capabilities are spelled.
var capNames = [capCount]string{
	"deny", "create", "read", "update", "delete", "list", "patch", "sudo", "scan", "subscribe", "recover",
}

// oldForms is what the words of `policy = "…"` stand for.
var oldForms = map[string]Caps{
	"deny":  Deny,
	"read":  CanRead | CanList,
	"write": CanCreate | CanRead | CanUpdate | CanDelete | CanList,
	"sudo":  CanCreate | CanRead | CanUpdate | CanDelete | CanList | CanSudo,
}

func capNamed(word string) (Caps, bool) {
	i := slices.Index(capNames[:], word)
	if i < 0 {
		return 0, false
	}
	return 1 << i, true
}

// Has reports whether c holds all of want.
func (c Caps) Has(want Caps) bool { return c&want == want }

// Names lists the set in alphabetical order.
func (c Caps) Names() []string {
	names := make([]string, 0, capCount)
	for i, name := range capNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (c Caps) String() string { return strings.Join(c.Names(), ",") }

// effective is c as the world sees it: deny swallows the rest.
func (c Caps) effective() Caps {
	if c.Has(Deny) {
		return Deny
	}
	return c
}

// Operation is what a request wants to do. The zero Operation is none, and is
// always denied.
type Operation uint8

// The operations. Help asks for a path's documentation and needs no capability.
const (
	Create Operation = iota + 1
	Read
	Update
	Delete
	List
	Patch
	Scan
	Subscribe
	Recover
	Help
)

// operations is the table of operations by number: name, capability needed, and
// whether its parameters are subject to a rule's parameter constraints.
var operations = [...]struct {
	name   string
	needs  Caps
	params bool
}{
	{"no operation", 0, false},
	Create:    {"create", CanCreate, true},
	Read:      {"read", CanRead, false},
	Update:    {"update", CanUpdate, true},
	Delete:    {"delete", CanDelete, false},
	List:      {"list", CanList, false},
	Patch:     {"patch", CanPatch, true},
	Scan:      {"scan", CanScan, false},
	Subscribe: {"subscribe", CanSubscribe, false},
	Recover:   {"recover", CanRecover, false},
	Help:      {"help", 0, false},
}

func (op Operation) String() string {
	if int(op) >= len(operations) {
		op = 0
	}
	return operations[op].name
}

// Needs is the capability that op asks for; 0 if op is not an operation.
func (op Operation) Needs() Caps {
	if int(op) >= len(operations) {
		return 0
	}
	return operations[op].needs
}

// OperationNamed returns the operation of that name ("read", "list", …).
func OperationNamed(name string) (Operation, bool) {
	for i := Create; int(i) < len(operations); i++ {
		if operations[i].name == name {
			return i, true
		}
	}
	return 0, false
}
