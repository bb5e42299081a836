package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/storage"
)

// An Item is one thing of a Collection on its way into or out of storage.
type Item[T any] struct {
	Name  string `path:"name"`
	Value T      `inline:"true"`
	// New says that nothing was stored under the name.
	New bool `json:"-"`

	sent []string
}

// Sent says whether the request had a parameter.
func (i *Item[T]) Sent(parameter string) bool { return slices.Contains(i.sent, parameter) }

// Renamed brings a parameter and its former name together: what was sent by the
// former name counts as sent by the new one, and is remembered under both until
// the new name is used.
func Renamed[T, V any](i *Item[T], former string, old *V, name string, value *V) {
	switch {
	case i.Sent(name):
		*old = *new(V)
	case i.Sent(former):
		*value = *old
	}
}

// A Collection is a table of things of one kind, and the routes to list, read,
// write, patch and delete them. T is stored as its JSON, and read from requests
// by the same tags.
type Collection[E, T any] struct {
	Path string // "role": the routes are role/ and role/{name}
	Name string // how {name} is written in the pattern; "" is "{name}"
	Noun string // "role", for help
	Rows string // prefix in storage; "" is Path + "/"
	// Range, if set, is where the items are instead of among the mount's rows:
	// for the system's own engines.
	Range *storage.Range
	// Replace says that a write without a parameter sets it to its default.
	// Otherwise it stays as it is.
	Replace bool
	// Fold says that names are not told apart by case.
	Fold bool
	// Keep says that there is no route to delete.
	Keep bool
	// Patches says that there is a route for PATCH.
	Patches bool
	// Given are items that are there without having been written, by name. They
	// can be changed; a deleted one is as it was given.
	Given map[string]T
	// Info, if set, is what a list says of each item (key_info), or nil to leave
	// it out of the list.
	Info func(e *E, v View, item *Item[T]) (any, error)
	// Check completes and refuses what is to be stored.
	Check func(e *E, tx Tx, item *Item[T]) error
	// Show is the answer of a read. Without it, that is T without the fields
	// that are secret.
	Show func(e *E, v View, item *Item[T]) (any, error)
	// Written is the answer of a write; without it there is none.
	Written func(e *E, tx Tx, item *Item[T]) (any, error)
	// Remove is done before an item is deleted.
	Remove func(e *E, tx Tx, item *Item[T]) error
}

// Table is where the items are.
func (c *Collection[E, T]) Table(v View) storage.Table[T] {
	prefix := c.Rows
	if prefix == "" {
		prefix = c.Path + "/"
	}
	if c.Range != nil {
		return storage.In[T](CallOf(v).Whole.In(*c.Range), prefix)
	}
	return Table[T](v, prefix)
}

// fold is a name as it is stored.
func (c *Collection[E, T]) fold(name string) string {
	if c.Fold {
		return strings.ToLower(name)
	}
	return name
}

// Get returns the item of a name, or nil.
func (c *Collection[E, T]) Get(v View, name string) (*T, error) {
	return c.orGiven(c.fold(name), c.Table(v).Get)
}

// Peek is Get for those who only look: what it returns is shared.
func (c *Collection[E, T]) Peek(v View, name string) (*T, error) {
	return c.orGiven(c.fold(name), c.Table(v).Peek)
}

func (c *Collection[E, T]) orGiven(name string, stored func(string) (*T, error)) (*T, error) {
	item, err := stored(name)
	if err != nil || item != nil {
		return item, err
	}
	if given, ok := c.Given[name]; ok {
		return &given, nil
	}
	return nil, nil
}

// Names are the names of all items, in order.
func (c *Collection[E, T]) Names(v View) ([]string, error) {
	names, err := c.Table(v).Names("", "")
	if err != nil || len(c.Given) == 0 {
		return names, err
	}
	names = slices.AppendSeq(names, maps.Keys(c.Given))
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (c *Collection[E, T]) pattern() string {
	name := c.Name
	if name == "" {
		name = "{name}"
	}
	return c.Path + "/" + name
}

// captured is the name of the capture in the pattern.
func (c *Collection[E, T]) captured() string {
	name, _, _ := strings.Cut(strings.Trim(c.pattern()[len(c.Path)+1:], "{}"), ":")
	return strings.TrimRight(name, "@*.")
}

// Routes are the collection's routes.
func (c *Collection[E, T]) Routes() Routes[E] {
	at, noun := c.pattern(), c.Noun
	routes := Routes[E]{
		List(c.Path, c.list).Doc("List every " + noun + "."),
		c.route(at, storage.ReadOnly, OpRead, c.read).takes().Doc("Read a " + noun + "."),
		c.exists(c.route(at, storage.ReadWrite, OpWrite, func(e *E, call *Call) (any, error) {
			return c.write(e, call, decoding{over: !c.Replace}, false)
		})).Doc("Make or change a " + noun + "."),
	}
	if c.Patches {
		routes = append(routes, c.route(at, storage.ReadWrite, OpPatch, func(e *E, call *Call) (any, error) {
			return c.write(e, call, decoding{over: true}, true)
		}).Doc("Change some fields of a "+noun+"."))
	}
	if !c.Keep {
		routes = append(routes, c.route(at, storage.ReadWrite, OpDelete, c.remove).takes().Doc("Delete a "+noun+"."))
	}
	return routes
}

// Fields are routes to read, write and reset some of the fields of an item by
// themselves, below its own path. The first is the one that a write must send,
// or any other.
func (c *Collection[E, T]) Fields(segment string, fields ...string) Routes[E] {
	at := c.pattern() + "/" + segment
	return Routes[E]{
		c.route(at, storage.ReadOnly, OpRead, func(_ *E, call *Call) (any, error) {
			item, err := c.load(call)
			if err != nil || item.New {
				return nil, err
			}
			return fieldsOf(reflect.ValueOf(item).Elem(), func(f *field) bool { return slices.Contains(fields, f.Name) })
		}).takes().Doc(fmt.Sprintf("Read %s of a %s.", fields[0], c.Noun)),
		c.route(at, storage.ReadWrite, OpWrite, func(e *E, call *Call) (any, error) {
			item, err := c.load(call)
			if err != nil {
				return nil, err
			}
			if item.New {
				return nil, Missing(c.Noun + " does not exist")
			}
			if err := c.fill(call, item, decoding{over: true, only: fields}); err != nil {
				return nil, err
			}
			if len(item.sent) == 0 {
				return nil, Bad("missing %s", fields[0])
			}
			return c.store(e, call, item)
		}).takes(fields...).Doc(fmt.Sprintf("Change %s of a %s.", fields[0], c.Noun)),
		c.route(at, storage.ReadWrite, OpDelete, func(e *E, call *Call) (any, error) {
			item, err := c.load(call)
			if err != nil || item.New {
				return nil, err
			}
			if err := c.reset(item, fields); err != nil {
				return nil, err
			}
			_, err = c.store(e, call, item)
			return nil, err
		}).takes().Doc(fmt.Sprintf("Set %s of a %s back to its default.", fields[0], c.Noun)),
	}
}

func (c *Collection[E, T]) route(pattern string, mode storage.Mode, op Op, f func(*E, *Call) (any, error)) Route[E] {
	r := route(pattern, mode, []Op{op}, func(*E, *Call, Item[T]) (any, error) { return nil, nil })
	r.Info.Response = reflect.TypeFor[T]()
	r.run = func(e *E, call *Call) (*Answer, error) {
		a, err := f(e, call)
		if err != nil {
			return nil, err
		}
		return answerOf(a), nil
	}
	return r
}

// takes names the parameters that a route knows besides those of its path.
func (r Route[E]) takes(parameters ...string) Route[E] {
	r.Info.only = append([]string{}, parameters...)
	return r
}

func (c *Collection[E, T]) exists(r Route[E]) Route[E] {
	r.Info.Creates = true
	r.exists = func(_ *E, call *Call) (bool, error) {
		v, err := c.Peek(reader{call}, call.captures.get(c.captured()))
		return v != nil, err
	}
	return r
}

// load is the item of the request, as it is stored.
func (c *Collection[E, T]) load(call *Call) (*Item[T], error) {
	item := &Item[T]{Name: c.fold(call.captures.get(c.captured()))}
	old, err := c.Get(call, item.Name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.Noun, err)
	}
	if item.New = old == nil; !item.New {
		item.Value = *old
	}
	return item, nil
}

// fill decodes the request over the item.
func (c *Collection[E, T]) fill(call *Call, item *Item[T], how decoding) error {
	name := item.Name
	how.sent = &item.sent
	err := call.decode(planOf(reflect.TypeFor[Item[T]]()), reflect.ValueOf(item).Elem(), how)
	item.Name = name
	return err
}

func (c *Collection[E, T]) list(e *E, v View, _ None) (Keys, error) {
	names, err := c.Names(v)
	if err != nil || c.Info == nil {
		return KeysOf(names), err
	}
	keys := Keys{Info: make(map[string]any, len(names))}
	for _, name := range names {
		value, err := c.Get(v, name)
		if err != nil {
			return Keys{}, fmt.Errorf("read %s: %w", c.Noun, err)
		}
		if value == nil {
			continue
		}
		info, err := c.Info(e, v, &Item[T]{Name: name, Value: *value})
		if err != nil {
			return Keys{}, err
		}
		if info != nil {
			keys.Keys, keys.Info[name] = append(keys.Keys, name), info
		}
	}
	return keys, nil
}

func (c *Collection[E, T]) read(e *E, call *Call) (any, error) {
	item, err := c.load(call)
	if err != nil || item.New {
		return nil, err
	}
	if c.Show != nil {
		return c.Show(e, reader{call}, item)
	}
	return fieldsOf(reflect.ValueOf(item).Elem(), func(f *field) bool { return !f.Secret })
}

func (c *Collection[E, T]) write(e *E, call *Call, how decoding, mustExist bool) (any, error) {
	item, err := c.load(call)
	if err != nil {
		return nil, err
	}
	switch {
	case item.New && mustExist:
		return nil, Missing()
	case item.New:
		how.over = false
	case !how.over:
		item.Value = *new(T)
	}
	if err := c.fill(call, item, how); err != nil {
		return nil, err
	}
	return c.store(e, call, item)
}

func (c *Collection[E, T]) store(e *E, call *Call, item *Item[T]) (any, error) {
	if c.Check != nil {
		if err := c.Check(e, call, item); err != nil {
			return nil, err
		}
	}
	c.Table(call).Put(item.Name, &item.Value)
	if c.Written == nil {
		return nil, nil
	}
	return c.Written(e, call, item)
}

func (c *Collection[E, T]) remove(e *E, call *Call) (any, error) {
	item, err := c.load(call)
	if err != nil || item.New {
		return nil, err
	}
	if c.Remove != nil {
		if err := c.Remove(e, call, item); err != nil {
			return nil, err
		}
	}
	c.Table(call).Delete(item.Name)
	return nil, nil
}

// reset sets fields to their defaults.
func (c *Collection[E, T]) reset(item *Item[T], fields []string) error {
	v := reflect.ValueOf(item).Elem()
	for _, f := range planOf(v.Type()).fields {
		if f.Path || !slices.Contains(fields, f.Name) {
			continue
		}
		at := v.FieldByIndex(f.index)
		at.SetZero()
		if f.Default == "" {
			continue
		}
		raw, err := json.Marshal(f.Default)
		if err != nil {
			return err
		}
		if err := convert(at, raw); err != nil {
			return fmt.Errorf("default of %s: %w", f.Name, err)
		}
	}
	return nil
}

// fieldsOf is a JSON object of some parameters of a request type.
func fieldsOf(v reflect.Value, which func(*field) bool) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	p := planOf(v.Type())
	for i := range p.fields {
		f := &p.fields[i]
		if f.Path || f.All || !which(f) {
			continue
		}
		at := v.FieldByIndex(f.index)
		if f.omitEmpty && at.IsZero() {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		value := at.Interface()
		if at.Kind() == reflect.Slice && at.IsNil() && at.Type() != typeRaw {
			value = []struct{}{} // an empty list, not null
		}
		enc, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", f.Name, err)
		}
		fmt.Fprintf(&b, "%q:%s", f.Name, enc)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
