package storage

import (
	"bytes"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A child row says that a name exists below a folder:
//
//	c ns id H16(folder) H16(folder/name)  ->  flags, sealed(name)
//
// so a list is one short scan that touches no values, and costs what the
// folder holds, not what lies below it.
const (
	isLeaf   byte = 1
	isFolder byte = 2
)

func split(path string) (folder, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

func (v Rows) childPrefix(folder string) ([]byte, error) {
	id, err := v.tx.store.sealer.Name(v.r, folder)
	if err != nil {
		return nil, err
	}
	return append(v.r.append(make([]byte, 0, 41), tableChild), id[:]...), nil
}

func (v Rows) childKey(path string) ([]byte, string, error) {
	folder, name := split(path)
	k, err := v.childPrefix(folder)
	if err != nil {
		return nil, "", err
	}
	id, err := v.tx.store.sealer.Name(v.r, path)
	return append(k, id[:]...), name, err
}

// link notes that path exists, as a leaf or as a folder, and that the folders
// above it do. It stops at the first folder that is known already.
func (v Rows) link(path string, flag byte) error {
	for path != "" {
		k, name, err := v.childKey(path)
		if err != nil {
			return err
		}
		old, err := v.tx.get(k, true)
		if err != nil {
			return err
		}
		if old != nil && old[0]&flag != 0 {
			return nil
		}
		flags := flag
		if old != nil {
			flags |= old[0]
		}
		v.tx.put(k, append([]byte{flags}, name...), true, true)
		path, _ = split(path)
		flag = isFolder
	}
	return nil
}

// linkNew is link for a leaf that is not known to be there.
func (v Rows) linkNew(path string) error {
	k, name, err := v.childKey(path)
	if err != nil {
		return err
	}
	v.tx.put(k, append([]byte{isLeaf}, name...), true, true)
	folder, _ := split(path)
	return v.link(folder, isFolder)
}

// unlink takes back link: a folder goes with its last child.
func (v Rows) unlink(path string, flag byte) error {
	for path != "" {
		k, name, err := v.childKey(path)
		if err != nil {
			return err
		}
		old, err := v.tx.get(k, true)
		if err != nil || old == nil {
			return err
		}
		if flags := old[0] &^ flag; flags != 0 {
			v.tx.put(k, append([]byte{flags}, name...), true, true)
			return nil
		}
		v.tx.put(k, nil, false, true)
		path, _ = split(path)
		flag = isFolder
		if path == "" {
			return nil
		}
		if left, err := v.hasChild(path); err != nil || left {
			return err
		}
	}
	return nil
}

// hasChild looks for one child. What it read is that one row, so that writers
// beside it do not conflict; only an empty folder is read as a stretch. Own
// writes are looked through last: a transaction that removes many has many.
func (v Rows) hasChild(folder string) (bool, error) {
	prefix, err := v.childPrefix(folder)
	if err != nil {
		return false, err
	}
	s, tx := span{prefix, after(prefix)}, v.tx
	found := false
	err = tx.snap.rows.Scan(s.from, s.to, func(key, _ []byte) bool {
		w, own := tx.writes.rows[string(key)]
		switch {
		case own:
			found = w.present
		case !tx.dropped(key):
			found = true
			tx.reads[string(key)] = struct{}{}
		}
		return !found
	})
	if err != nil || found {
		return found, err
	}
	for key, w := range tx.writes.rows {
		if w.present && s.holds([]byte(key)) {
			return true, nil
		}
	}
	tx.spans = append(tx.spans, s)
	return false, nil
}

// Children yields the names one level below path, in order.
func (v Rows) Children(path, after_ string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names, err := v.children(path)
		if err != nil {
			yield("", err)
			return
		}
		slices.Sort(names)
		for _, n := range names {
			if n > after_ && !yield(n, nil) {
				return
			}
		}
	}
}

func (v Rows) children(path string) ([]string, error) {
	if v.r.Kind != Tree {
		return nil, fmt.Errorf("list a range that has no folders")
	}
	prefix, err := v.childPrefix(path)
	if err != nil {
		return nil, err
	}
	s := span{prefix, after(prefix)}
	var names []string
	var open []byte
	var bad error
	err = v.tx.scan(s, func(key, value []byte, own bool) bool {
		plain := value
		if !own {
			if open, bad = v.tx.store.sealer.Open(open[:0], key, value); bad != nil {
				return false
			}
			plain = open
		}
		if plain[0]&isLeaf != 0 {
			names = append(names, string(plain[1:]))
		}
		if plain[0]&isFolder != 0 {
			names = append(names, string(plain[1:])+"/")
		}
		return true
	})
	if bad != nil {
		return nil, fmt.Errorf("open name: %w", bad)
	}
	if v.tx.mode == ReadWrite {
		v.tx.spans = append(v.tx.spans, s)
	}
	return names, err
}

// From yields the names one level below path in the order of their rows, which
// tells nothing, from the place of the row of a name on ("" is the first; it need
// not be there any longer). It reads what it yields and no more: for going through
// large folders a page at a time.
func (v Rows) From(path, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		s, err := v.stretch(path, name)
		if err != nil {
			yield("", err)
			return
		}
		var bad error
		var open, last []byte
		stopped := false
		err = v.tx.scan(s, func(key, value []byte, own bool) bool {
			if !own {
				if open, bad = v.tx.store.sealer.Open(open[:0], key, value); bad != nil {
					return false
				}
				value = open
			}
			last = append(last[:0], key...)
			flags, name := value[0], string(value[1:])
			stopped = flags&isLeaf != 0 && !yield(name, nil) ||
				flags&isFolder != 0 && !yield(name+"/", nil)
			return !stopped
		})
		if stopped {
			s.to = append(last, 0)
		}
		if v.tx.mode == ReadWrite {
			v.tx.spans = append(v.tx.spans, s)
		}
		switch {
		case bad != nil:
			yield("", fmt.Errorf("open name: %w", bad))
		case err != nil:
			yield("", err)
		}
	}
}

// stretch is the rows of the names one level below path, from that of name on.
func (v Rows) stretch(path, name string) (span, error) {
	if v.r.Kind != Tree {
		return span{}, fmt.Errorf("list a range that has no folders")
	}
	prefix, err := v.childPrefix(path)
	if err != nil {
		return span{}, err
	}
	s := span{prefix, after(prefix)}
	if name == "" {
		return s, nil
	}
	if path != "" {
		name = path + "/" + name
	}
	s.from, _, err = v.childKey(name)
	return s, err
}

// overlaps says whether a written key or dropped stretch touches the span.
func (s span) overlaps(o span) bool {
	return bytes.Compare(s.from, o.to) < 0 && bytes.Compare(o.from, s.to) < 0
}
