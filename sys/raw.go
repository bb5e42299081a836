package sys

import (
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

// rawRange is a range of the store under the name that sys/raw gives it.
type rawRange struct {
	name string
	at   storage.Range
}

func rawRanges() []rawRange {
	return []rawRange{
		{"accessors", storage.Accessors}, {"audits", storage.Audits}, {"core", storage.Core}, {"leases", storage.Leases},
		{"mounts", storage.Mounts}, {"policies", storage.Policies}, {"system", storage.System}, {"tokens", storage.Tokens},
		{"wraps", storage.Wraps}, {"namespaces", storage.Namespaces}, {"identities", storage.Identities}, {"aliases", storage.Aliases},
		{"token-roles", storage.TokenRoles}, {"quotas", storage.Quotas}, {"lockouts", storage.Lockouts}, {"mfa", storage.MFA},
		{"controls", storage.Controls}, {"factors", storage.Factors},
	}
}

// rawMounts is the name below which the ranges of mounts lie, by their UUIDs.
const rawMounts = "logical"

type rawRequest struct {
	Path     string `path:"path"`
	Value    string `json:"value" secret:"true" doc:"The row."`
	Encoding string `json:"encoding" doc:"base64, or nothing for text."`
}

// rawRow finds the row that a path names. The rows that hold keys, and all
// writes to those that an unseal needs, are closed: a mistake there could not
// be undone.
func (s *System) rawRow(v engine.View, path string, write bool) (rows storage.Rows, kind storage.RangeKind, row string, err error) {
	name, row, _ := strings.Cut(path, "/")
	if name == rawMounts && s.Settings.RawEnabled {
		id, row, _ := strings.Cut(row, "/")
		table, err := s.mountTable(v)
		if err != nil {
			return rows, 0, "", err
		}
		if l := table.ByUUID(id); l != nil {
			return engine.CallOf(v).Whole.In(l.Range()), l.Range().Kind, row, nil
		}
	}
	closed := name == "core" && (write || row == rowKeyring || row == rowRoot || row == rowWraps)
	for _, r := range rawRanges() {
		if r.name == name && s.Settings.RawEnabled && !closed {
			return engine.CallOf(v).Whole.In(r.at), r.at.Kind, row, nil
		}
	}
	return rows, 0, "", engine.Bad("cannot access %q", path)
}

func rawEncoding(encoding string) error {
	if encoding != "" && encoding != "base64" {
		return engine.Bad("invalid encoding %q", encoding)
	}
	return nil
}

type rawValue struct {
	Value string `json:"value"`
}

func (s *System) readRaw(v engine.View, req rawRequest) (*rawValue, error) {
	if err := rawEncoding(req.Encoding); err != nil {
		return nil, err
	}
	rows, _, row, err := s.rawRow(v, req.Path, false)
	if err != nil {
		return nil, err
	}
	value, err := rows.Get(row)
	switch {
	case err != nil || value == nil:
		return nil, err
	case req.Encoding == "base64":
		return &rawValue{base64.StdEncoding.EncodeToString(value)}, nil
	case !utf8.Valid(value):
		return nil, engine.Bad("the row is not text: ask for encoding=base64")
	}
	return &rawValue{string(value)}, nil
}

func (s *System) writeRaw(tx engine.Tx, req rawRequest) (engine.None, error) {
	none := engine.None{}
	if err := rawEncoding(req.Encoding); err != nil {
		return none, err
	}
	value := []byte(req.Value)
	if req.Encoding == "base64" {
		var err error
		if value, err = base64.StdEncoding.DecodeString(req.Value); err != nil {
			return none, engine.Bad("value is not valid base64")
		}
	}
	rows, _, row, err := s.rawRow(tx, req.Path, true)
	if err != nil {
		return none, err
	}
	if row == "" {
		return none, engine.Bad("cannot access %q", req.Path)
	}
	rows.Put(row, value)
	return none, nil
}

func (s *System) deleteRaw(tx engine.Tx, req rawRequest) (engine.None, error) {
	rows, _, row, err := s.rawRow(tx, req.Path, true)
	if err == nil && row == "" {
		err = engine.Bad("cannot access %q", req.Path)
	}
	if err == nil {
		rows.Delete(row)
	}
	return engine.None{}, err
}

func (s *System) listRaw(v engine.View, req rawRequest) (engine.Keys, error) {
	var names []string
	if req.Path == "" {
		if !s.Settings.RawEnabled {
			return engine.Keys{}, engine.Bad("cannot access %q", "")
		}
		for _, r := range rawRanges() {
			names = append(names, r.name+"/")
		}
		names = append(names, rawMounts+"/")
		slices.Sort(names)
		return engine.KeysOf(names), nil
	}
	if strings.Trim(req.Path, "/") == rawMounts && s.Settings.RawEnabled {
		table, err := s.mountTable(v)
		if err != nil {
			return engine.Keys{}, err
		}
		for _, l := range table.All() {
			names = append(names, l.UUID+"/")
		}
		slices.Sort(names)
		return engine.KeysOf(names), nil
	}
	rows, kind, row, err := s.rawRow(v, req.Path, false)
	if err != nil {
		return engine.Keys{}, err
	}
	if kind != storage.Tree {
		return engine.Keys{}, engine.Bad("the rows of %q cannot be listed", req.Path)
	}
	for name, err := range rows.Children(row, "") {
		if err != nil {
			return engine.Keys{}, err
		}
		names = append(names, name)
	}
	return engine.KeysOf(names), nil
}

func rawRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.List("raw", (*System).listRaw).Sudo().RootNamespace().Doc("List the ranges of the store."),
		engine.Read("raw/{path...}", (*System).readRaw).Sudo().RootNamespace().Doc("Show a row of the store."),
		engine.List("raw/{path...}", (*System).listRaw).Sudo().RootNamespace().Doc("List rows of the store."),
		engine.Write("raw/{path...}", (*System).writeRaw).Sudo().RootNamespace().Doc("Write a row of the store."),
		engine.Delete("raw/{path...}", (*System).deleteRaw).Sudo().RootNamespace().Doc("Delete a row of the store."),
	}
}
