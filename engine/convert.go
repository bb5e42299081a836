package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Duration is a length of time as Vault's parameters spell it: whole seconds,
// or "90s", "1h30m", "2d". It is answered in seconds.
type Duration time.Duration

// Seconds is the duration in whole seconds.
func (d Duration) Seconds() int64 { return int64(time.Duration(d) / time.Second) }

// MarshalJSON gives whole seconds.
func (d Duration) MarshalJSON() ([]byte, error) { return strconv.AppendInt(nil, d.Seconds(), 10), nil }

// UnmarshalJSON takes every spelling.
func (d *Duration) UnmarshalJSON(b []byte) error {
	v, err := durationOf(b)
	*d = Duration(v)
	return err
}

// A SignedDuration is a Duration that may be negative.
type SignedDuration time.Duration

// ParseDuration reads a duration as Vault's parameters spell it.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return seconds(n)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 64); err == nil {
			if n > 1<<30 || n < -1<<30 {
				return 0, fmt.Errorf("time: invalid duration %q", s)
			}
			return seconds(n * 86400)
		}
	}
	return time.ParseDuration(s)
}

func seconds(n int64) (time.Duration, error) {
	if n > int64(1<<63-1)/int64(time.Second) || n < -int64(1<<63-1)/int64(time.Second) {
		return 0, fmt.Errorf("duration of %d seconds is too long", n)
	}
	return time.Duration(n) * time.Second, nil
}

func durationOf(raw json.RawMessage) (time.Duration, error) {
	if len(raw) > 0 && raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return 0, err
		}
		return ParseDuration(s)
	}
	if string(raw) == "null" {
		return 0, nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return 0, errors.New("could not parse duration from input")
	}
	return seconds(int64(f))
}

// ShorterOf is the smaller of two limits, of which 0 is none.
func ShorterOf(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// SpellDuration writes a duration as people do: 2h, not 2h0m0s.
func SpellDuration(d time.Duration) string {
	t := d.String()
	if strings.HasSuffix(t, "m0s") {
		t = strings.TrimSuffix(t, "0s")
	}
	if strings.HasSuffix(t, "h0m") {
		t = strings.TrimSuffix(t, "0m")
	}
	return t
}

// A Time is a moment as parameters spell it: epoch seconds or RFC 3339.
type Time time.Time

var (
	typeDuration = reflect.TypeFor[Duration]()
	typeSigned   = reflect.TypeFor[SignedDuration]()
	typeTime     = reflect.TypeFor[Time]()
	typeRaw      = reflect.TypeFor[json.RawMessage]()
)

func convertible(t reflect.Type) bool {
	switch t {
	case typeDuration, typeSigned, typeTime, typeRaw:
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64, reflect.Float64, reflect.Struct:
		return true
	case reflect.Pointer:
		return convertible(t.Elem())
	case reflect.Slice:
		k := t.Elem().Kind()
		return k == reflect.String || k == reflect.Int || k == reflect.Int64 || k == reflect.Uint64 || k == reflect.Struct
	case reflect.Map:
		return t.Key().Kind() == reflect.String
	}
	return false
}

// convert sets v from raw JSON, as leniently as Vault does: numbers and
// booleans may be strings, lists may be comma-separated, maps may be k=v.
func convert(v reflect.Value, raw json.RawMessage) error {
	if v.Type() == typeRaw {
		v.SetBytes(raw)
		return nil
	}
	if string(raw) == "null" {
		v.SetZero()
		return nil
	}
	switch v.Type() {
	case typeDuration, typeSigned:
		d, err := durationOf(raw)
		if err == nil && d < 0 && v.Type() == typeDuration {
			err = fmt.Errorf("cannot provide negative value '%s'", strings.Trim(string(raw), `"`))
		}
		v.SetInt(int64(d))
		return err
	case typeTime:
		t, err := timeOf(raw)
		v.Set(reflect.ValueOf(Time(t)))
		return err
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		if err := convert(p.Elem(), raw); err != nil {
			return err
		}
		v.Set(p)
		return nil
	case reflect.Slice:
		return convertSlice(v, raw)
	case reflect.Map:
		return convertMap(v, raw)
	case reflect.Struct:
		return json.Unmarshal(raw, v.Addr().Interface())
	}
	return convertScalar(v, raw)
}

// Text is the string that a JSON string spells. The JSON must be valid.
func Text(raw json.RawMessage) (string, error) {
	if len(raw) >= 2 && raw[0] == '"' {
		plain := raw[1 : len(raw)-1]
		for i := 0; i < len(plain); i++ {
			if plain[i] == '\\' || plain[i] >= utf8.RuneSelf {
				plain = nil
				break
			}
		}
		if plain != nil {
			return string(plain), nil
		}
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

func convertScalar(v reflect.Value, raw json.RawMessage) error {
	s := string(raw)
	switch raw[0] {
	case '"':
		var err error
		if s, err = Text(raw); err != nil {
			return err
		}
	case '{':
		return fmt.Errorf("'' expected type '%s', got unconvertible type 'map[string]interface {}'", v.Kind())
	case '[':
		return fmt.Errorf("'' expected type '%s', got unconvertible type '[]interface {}'", v.Kind())
	}
	switch v.Kind() {
	case reflect.String:
		switch s {
		case "true":
			if raw[0] == 't' {
				s = "1"
			}
		case "false":
			if raw[0] == 'f' {
				s = "0"
			}
		}
		v.SetString(s)
	case reflect.Bool:
		if s == "" {
			v.SetBool(false)
			return nil
		}
		b, err := strconv.ParseBool(s)
		if err != nil {
			return errors.New("'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax")
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int64:
		if s == "" {
			v.SetInt(0)
			return nil
		}
		n, err := strconv.ParseInt(s, 0, 64)
		if f, ferr := strconv.ParseFloat(s, 64); err != nil && ferr == nil && raw[0] != '"' && f == float64(int64(f)) {
			n, err = int64(f), nil
		}
		if err != nil {
			return errors.New("'' cannot parse value as 'int': strconv.ParseInt: invalid syntax")
		}
		v.SetInt(n)
	case reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(s, 0, v.Type().Bits())
		if err != nil {
			return errors.New("'' cannot parse value as 'uint': strconv.ParseUint: invalid syntax")
		}
		v.SetUint(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return errors.New("'' cannot parse value as 'float': strconv.ParseFloat: invalid syntax")
		}
		v.SetFloat(f)
	}
	return nil
}

func timeOf(raw json.RawMessage) (time.Time, error) {
	s := strings.Trim(string(raw), `"`)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Unix(n, 0).UTC(), nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

func convertSlice(v reflect.Value, raw json.RawMessage) error {
	var parts []json.RawMessage
	switch raw[0] {
	case '[':
		if err := json.Unmarshal(raw, &parts); err != nil {
			return err
		}
	case '{':
		return fmt.Errorf("'' expected type '%s', got unconvertible type 'map[string]interface {}'", v.Type())
	case '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		for p := range strings.SplitSeq(s, ",") {
			if p = strings.TrimSpace(p); p != "" {
				b, err := json.Marshal(p)
				if err != nil {
					return err
				}
				parts = append(parts, b)
			}
		}
	default:
		parts = []json.RawMessage{raw}
	}
	out := reflect.MakeSlice(v.Type(), len(parts), len(parts))
	for i, p := range parts {
		if err := convert(out.Index(i), p); err != nil {
			return fmt.Errorf("decoding failed due to the following error(s):\n\n'[%d]%s", i, strings.TrimPrefix(err.Error(), "'"))
		}
	}
	v.Set(out)
	return nil
}

func convertMap(v reflect.Value, raw json.RawMessage) error {
	if v.Type().Elem().Kind() != reflect.String {
		if raw[0] != '{' {
			return errors.New("'' expected type 'map[string]interface {}', got unconvertible type 'string'")
		}
		return json.Unmarshal(raw, v.Addr().Interface())
	}
	out := reflect.MakeMap(v.Type())
	set := func(k, s string) {
		out.SetMapIndex(reflect.ValueOf(k).Convert(v.Type().Key()), reflect.ValueOf(s).Convert(v.Type().Elem()))
	}
	if raw[0] == '{' {
		err := EachField(raw, func(name string, val json.RawMessage) error {
			s := reflect.New(reflect.TypeFor[string]()).Elem()
			if err := convert(s, val); err != nil {
				return err
			}
			set(name, s.String())
			return nil
		})
		v.Set(out)
		return err
	}
	pairs := reflect.New(reflect.TypeFor[[]string]()).Elem()
	if err := convertSlice(pairs, raw); err != nil {
		return err
	}
	for _, p := range pairs.Interface().([]string) {
		k, val, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("invalid key pair %q", p)
		}
		set(k, val)
	}
	v.Set(out)
	return nil
}
