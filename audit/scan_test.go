package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

var salt = []byte("0123456789abcdef0123456789abcdef")

func hashOf(s string) string { return string(NewHasher(salt).AppendString(nil, s)) }

func TestEveryStringValueIsHashedAndNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
	}{
		{"a string", `"x"`, `"[x]"`},
		{"keys, numbers, booleans and null stay", `{"a":1.50e+3,"b":true,"c":null,"d":"v"}`, `{"a":1.50e+3,"b":true,"c":null,"d":"[v]"}`},
		{"any depth", `{"a":[{"b":["x",["y"]]}]}`, `{"a":[{"b":["[x]",["[y]"]]}]}`},
		{"the empty string too", `{"a":""}`, `{"a":"[]"}`},
		{"what it means, not how it is escaped", `{"a":"\u0061\/\n"}`, "{\"a\":\"[a/\n]\"}"},
		{"a surrogate pair", `["\ud83d\ude00"]`, `["[😀]"]`},
		{"half a pair", `["\ud83dx"]`, `["[�x]"]`},
		{"half a pair before a whole one", `["\ud83d\ud83d\ude00"]`, `["[�😀]"]`},
		{"bytes that are not UTF-8", "[\"a\xffb\"]", `["[a�b]"]`},
		{"a key that is not UTF-8 is mended", "{\"\xff\\\"\":1}", `{"�\"":1}`},
		{"order and repeats stay", `{"z":"1","a":"2","z":"3"}`, `{"z":"[1]","a":"[2]","z":"[3]"}`},
		{"white space goes, for it may be a new line", " {\n \"a\" :\t[ 1 , 2 ]\r\n} ", `{"a":[1,2]}`},
		{"nothing in them", `{"a":{},"b":[],"c":[ ]}`, `{"a":{},"b":[],"c":[]}`},
		{"a key written with escapes stays so", `{"\u0061":1}`, `{"\u0061":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := HashStrings([]byte("before "), []byte(tt.in), NewHasher(salt))
			if err != nil {
				t.Fatal(err)
			}
			if want := "before " + expand(tt.want); string(got) != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// expand writes the hash of x for "[x]".
func expand(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `"[`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		word, after, ok := strings.Cut(rest, `]"`)
		if !ok {
			return b.String() + `"[` + rest
		}
		fmt.Fprintf(&b, "%q", hashOf(word))
		s = after
	}
}

func TestExemptKeysAreThoseOfTheOutermostObject(t *testing.T) {
	in := `{"name":"n","deep":{"name":"x"},"list":["s",{"t":"u"}],"n\u0061me2":"y"}`
	got, err := HashStrings(nil, []byte(in), NewHasher(salt), "name", "list", "name2", "absent")
	if err != nil {
		t.Fatal(err)
	}
	want := expand(`{"name":"n","deep":{"name":"[x]"},"list":["s",{"t":"u"}],"n\u0061me2":"y"}`)
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestListsAreCountedWhenElided(t *testing.T) {
	for in, want := range map[string]string{
		`{"keys":["a","b"],"key_info":{"a":{"x":1},"b":{},"c":[]}}`: `{"keys":2,"key_info":3}`,
		`{"keys":[],"key_info":{}}`:                                 `{"keys":0,"key_info":0}`,
		`{"keys":"s","key_info":"t"}`:                               `{"keys":"[s]","key_info":"[t]"}`,
		`{"deep":{"keys":["a"]},"other":["b"]}`:                     `{"deep":{"keys":["[a]"]},"other":["[b]"]}`,
	} {
		got, err := Scan{Hasher: NewHasher(salt), ElideLists: true}.Append(nil, []byte(in))
		if err != nil || string(got) != expand(want) {
			t.Errorf("%s: got %s, %v", in, got, err)
		}
	}
}

func TestWhatIsNotJSONIsRefusedWithoutQuotingIt(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{`, `}`, `[`, `]`, `"`, `"hunter2`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{1:2}`,
		`[1,]`, `[,1]`, `[1 2]`, `{"a" 1}`, `{"a":1 "b":2}`, `nul`, `tru`, `falsey`, `01`, `-`, `+1`, `1.`, `.5`, `1e`, `1e+`, `--1`,
		`"\x"`, `"\u12"`, `"\u12g4"`, `"\`, `"\u`, "\"a\nb\"", "\"\x00\"", `{} {}`, `1 2`, `'a'`, "\x00", "{\"a\":\x001}",
		strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
	} {
		dst, err := HashStrings([]byte("kept"), []byte(in), NewHasher(salt))
		var bad *Malformed
		if !errors.As(err, &bad) {
			t.Errorf("%.40q: error %v, want Malformed", in, err)
			continue
		}
		if string(dst) != "kept" || strings.Contains(err.Error(), "hunter2") || bad.Offset > len(in) {
			t.Errorf("%.40q: dst %q, error %v", in, dst, err)
		}
		if json.Valid([]byte(in)) {
			t.Errorf("%.40q: encoding/json takes it", in)
		}
	}
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	if _, err := HashStrings(nil, []byte(deep), NewHasher(salt)); err != nil {
		t.Errorf("the deepest value that encoding/json takes: %v", err)
	}
}

// body is what the budget of the scan is stated for: 120 bytes, six strings.
var body = []byte(`{"data":{"username":"app-7","password":"s3cr3t-pa55","host":"db.internal","port":5432,"tags":["a","bb","ccc"],"on":true}}`)

func TestScanAllocatesNothing(t *testing.T) {
	h, dst, plain := NewHasher(salt), make([]byte, 0, 4096), []string{"key"}
	escaped := []byte(`{"a":"line\nline","b":"\ud83d\ude00","key":"plain"}`)
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := HashStrings(dst, body, h); err != nil {
			t.Fatal(err)
		}
		if _, err := HashStrings(dst, escaped, h, plain...); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations for a scan, want 0", allocs)
	}
}

func BenchmarkScan(b *testing.B) {
	h, dst := NewHasher(salt), make([]byte, 0, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := HashStrings(dst, body, h); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzScan compares the scanner with what encoding/json understands: they
// accept the same inputs, and the copy has the same tokens in the same order
// with each string value replaced by its hash.
func FuzzScan(f *testing.F) {
	for _, s := range []string{`{"a":["x",1.0,null,true,{"b":"\ud83d\u0041"}]}`, "[\"\xff\\n\"]", `{"a":{"a":"b"}}`, ` 1 `, `{"`, `"\u00zz"`, string(body)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := HashStrings(nil, in, NewHasher(salt))
		if (err == nil) != json.Valid(in) {
			t.Fatalf("scanner says %v, encoding/json says valid=%v", err, json.Valid(in))
		}
		if err != nil {
			return
		}
		if bytes.ContainsAny(got, "\n\r") {
			t.Fatalf("the copy %q is not one line", got)
		}
		want, have := tokens(t, in), tokens(t, got)
		if len(want) != len(have) {
			t.Fatalf("%d tokens became %d", len(want), len(have))
		}
		for i, w := range want {
			if w.value {
				w.text = hashOf(w.text)
			}
			if have[i] != w {
				t.Fatalf("token %d is %+v, want %+v", i, have[i], w)
			}
		}
	})
}

type token struct {
	text  string
	value bool // a string that is not a key
}

// tokens lists a value's tokens as encoding/json reads them.
func tokens(t *testing.T, in []byte) (list []token) {
	dec := json.NewDecoder(bytes.NewReader(in))
	dec.UseNumber()
	type level struct{ object, key bool }
	var open []level
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("reading %q: %v", in, err)
		}
		inKey := len(open) > 0 && open[len(open)-1].key
		s, isText := tok.(string)
		if isText {
			list = append(list, token{text: s, value: !inKey})
		} else {
			list = append(list, token{text: fmt.Sprintf("%T %v", tok, tok)})
		}
		if d, ok := tok.(json.Delim); ok {
			if d == '{' || d == '[' {
				open = append(open, level{object: d == '{', key: d == '{'})
				continue
			}
			open = open[:len(open)-1]
		}
		if n := len(open); n > 0 && open[n-1].object {
			open[n-1].key = !open[n-1].key
		}
	}
}
