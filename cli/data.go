package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
)

// A payload is what "key=value" arguments come to. A key given twice becomes a
// list; from JSON a value is whatever JSON says.
type payload struct {
	values object
	stdin  io.Reader // nil once it was read: it can be read only once
}

// payload reads the arguments from the i-th on:
//
//	key=value   text            key=@file   text of a file     key=-   standard input
//	@file       a JSON object   -           the same from standard input
//
// "\@" in front of a value stands for a plain "@".
func (c *call) payload(i int) (object, error) {
	p := &payload{values: object{}, stdin: c.ui.stdin}
	for _, arg := range c.args[min(i, len(c.args)):] {
		if err := p.add(arg); err != nil {
			return nil, local("Failed to parse K=V data: %w", err)
		}
	}
	return p.values, nil
}

func (p *payload) add(arg string) error {
	if arg == "-" {
		b, err := p.readStdin()
		if err != nil {
			return err
		}
		return p.addJSON("standard input", b)
	}
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return p.addJSON(name, b)
	}
	key, value, ok := strings.Cut(arg, "=")
	if !ok || key == "" {
		return fmt.Errorf("invalid key/value pair %q: format must be key=value", arg)
	}
	v, err := p.valueOf(value)
	if err != nil {
		return fmt.Errorf("value of %q: %w", key, err)
	}
	p.put(key, v)
	return nil
}

func (p *payload) valueOf(s string) (string, error) {
	switch {
	case s == "-":
		b, err := p.readStdin()
		return string(b), err
	case strings.HasPrefix(s, "@"):
		b, err := os.ReadFile(s[1:])
		return string(b), err
	case strings.HasPrefix(s, `\@`), s == `\-`:
		return s[1:], nil
	}
	return s, nil
}

func (p *payload) put(key string, v any) {
	switch old := p.values[key].(type) {
	case nil:
		p.values[key] = v
	case []any:
		p.values[key] = append(old, v)
	default:
		p.values[key] = []any{old, v}
	}
}

func (p *payload) addJSON(from string, b []byte) error {
	var o object
	if err := decode(b, &o); err != nil {
		return fmt.Errorf("%s: want a JSON object: %w", from, err)
	}
	for k, v := range o {
		p.values[k] = v
	}
	return nil
}

func (p *payload) readStdin() ([]byte, error) {
	if p.stdin == nil {
		return nil, fmt.Errorf("standard input can be read only once")
	}
	b, err := io.ReadAll(p.stdin)
	p.stdin = nil
	return b, err
}

// query turns arguments into parameters of a URL.
func (c *call) query(i int) (url.Values, error) {
	o, err := c.payload(i)
	if err != nil || len(o) == 0 {
		return nil, err
	}
	q := url.Values{}
	for k, v := range o {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, e := range list {
			q.Add(k, fmt.Sprint(e))
		}
	}
	return q, nil
}

// body is a request's JSON. Members that are nil are left out.
func body(o object) []byte {
	for k, v := range o {
		if v == nil {
			delete(o, k)
		}
	}
	return mustJSON(o)
}

// mustJSON writes what was read from JSON or made of JSON's own kinds.
func mustJSON(o object) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(o); err != nil {
		panic("a request that is not JSON: " + err.Error())
	}
	return bytes.TrimSpace(b.Bytes())
}

// orNil leaves a zero value out of a body.
func orNil[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// someOrNil leaves an empty list or map out of a body.
func someOrNil[T any](v T, n int) any {
	if n == 0 {
		return nil
	}
	return v
}
