package audit

import (
	"strconv"
	"time"
)

// The verbs of the encoder. Each writes a key with its value and leaves out
// what is empty.

// key writes a name of ours, and the comma before it unless it is the first.
func (e *encoder) key(name string) {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(append(append(e.buf, '"'), name...), '"', ':')
}

// userKey is key for a name that somebody chose.
func (e *encoder) userKey(name string) {
	if e.buf[len(e.buf)-1] != '{' {
		e.buf = append(e.buf, ',')
	}
	e.buf = append(appendText(e.buf, name), ':')
}

func (e *encoder) open(name string) {
	e.key(name)
	e.buf = append(e.buf, '{')
}

func (e *encoder) close() { e.buf = append(e.buf, '}') }

func (e *encoder) text(name, v string) {
	if v == "" {
		return
	}
	e.key(name)
	e.buf = appendText(e.buf, v)
}

func (e *encoder) texts(name string, list []string) {
	if len(list) == 0 {
		return
	}
	e.key(name)
	e.list(list)
}

func (e *encoder) list(list []string) {
	for i, v := range list {
		e.buf = append(e.buf, "[,"[min(i, 1)])
		e.buf = appendText(e.buf, v)
	}
	e.buf = append(e.buf, ']')
}

func (e *encoder) number(name string, v int64) {
	if v == 0 {
		return
	}
	e.key(name)
	e.buf = strconv.AppendInt(e.buf, v, 10)
}

func (e *encoder) flag(name string, v bool) {
	if !v {
		return
	}
	e.key(name)
	e.buf = append(e.buf, "true"...)
}

func (e *encoder) moment(name string, at time.Time, layout string) {
	if at.IsZero() {
		return
	}
	e.key(name)
	e.buf = append(e.buf, '"')
	e.buf = at.AppendFormat(e.buf, layout)
	e.buf = append(e.buf, '"')
}

// secret writes a token.
func (e *encoder) secret(name, v string) {
	if v == "" {
		return
	}
	e.key(name)
	e.hash(v)
}

// accessor writes an accessor, in the clear if hmac_accessor is off.
func (e *encoder) accessor(name, v string) {
	if e.plainAccessor {
		e.text(name, v)
		return
	}
	e.secret(name, v)
}

func (e *encoder) hash(v string) {
	if e.raw {
		e.buf = appendText(e.buf, v)
		return
	}
	for i := range e.seen {
		if s := &e.seen[i]; s.text == v {
			e.buf = append(e.buf, e.buf[s.from:s.to]...)
			return
		}
	}
	from := len(e.buf)
	e.buf = append(e.buf, '"')
	e.buf = e.hasher.AppendString(e.buf, v)
	e.buf = append(e.buf, '"')
	if len(e.seen) < 8 {
		e.seen = append(e.seen, hashed{v, from, len(e.buf)})
	}
}
