package password

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/hcl/ast"
	hcl "github.com/hashicorp/hcl/hcl/parser"
	"github.com/hashicorp/hcl/hcl/token"
)

// Parse reads a policy from HCL, or from JSON if it begins with a brace, and
// tries it. Its errors are the author's to mend.
func Parse(text string, random io.Reader) (*Policy, error) {
	p, err := read(text)
	if err == nil {
		err = p.check(random)
	}
	if err != nil {
		return nil, fmt.Errorf("invalid password policy: %w", err)
	}
	return p, nil
}

func read(text string) (p *Policy, err error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("the text has %d bytes, the limit is %d", len(text), maxText)
	}
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		p, err = fromJSON(text)
	} else {
		p, err = fromHCL(text)
	}
	if err != nil {
		return nil, err
	}
	p.Text = text
	return p, nil
}

func unfit(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

// fromHCL reads
//
//	length = 20
//	rule "charset" { charset = "abc" min-chars = 1 }
func fromHCL(text string) (p *Policy, err error) {
	defer func() { // the parser is frozen, and may panic
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("unreadable text: %v", r)
		}
	}()
	if strings.Contains(text, "\x00") {
		return nil, errors.New("the text holds a NUL character")
	}
	file, err := hcl.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	list, ok := file.Node.(*ast.ObjectList)
	if !ok {
		return nil, errors.New("want length and rules")
	}
	p = &Policy{}
	for _, it := range list.Items {
		keys, err := keysOf(it)
		if err != nil {
			return nil, err
		}
		switch {
		case len(keys) == 1 && keys[0] == "length":
			p.Length, err = number(it.Val)
		case len(keys) == 2 && keys[0] == "rule":
			err = p.addRule(keys[1], it.Val)
		default:
			err = fmt.Errorf("unknown key %q", strings.Join(keys, " "))
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", it.Pos().Line, err)
		}
	}
	return p, nil
}

func keysOf(it *ast.ObjectItem) (keys []string, err error) {
	for _, k := range it.Keys {
		s, ok := k.Token.Value().(string)
		if !ok {
			return nil, fmt.Errorf("unreadable key at %s", k.Pos())
		}
		keys = append(keys, s)
	}
	return keys, nil
}

func (p *Policy) addRule(kind string, val ast.Node) error {
	body, ok := val.(*ast.ObjectType)
	if !ok {
		return fmt.Errorf("rule %q must be a block", kind)
	}
	if kind != "charset" {
		return fmt.Errorf("unknown rule %q", kind)
	}
	set, least := "", 0
	for _, it := range body.List.Items {
		keys, err := keysOf(it)
		if err != nil {
			return err
		}
		switch strings.Join(keys, " ") {
		case "charset":
			set, err = text(it.Val)
		case "min-chars", "min_chars":
			least, err = number(it.Val)
		default:
			err = fmt.Errorf("unknown key %q in a charset rule", strings.Join(keys, " "))
		}
		if err != nil {
			return err
		}
	}
	return p.add(set, least)
}

func (p *Policy) add(set string, least int) error {
	runes, err := charset(set)
	p.Rules = append(p.Rules, Rule{runes, least})
	return err
}

func number(n ast.Node) (int, error) {
	l, ok := n.(*ast.LiteralType)
	if !ok || l.Token.Type != token.NUMBER {
		return 0, errors.New("want a whole number")
	}
	return strconv.Atoi(l.Token.Text)
}

func text(n ast.Node) (string, error) {
	l, ok := n.(*ast.LiteralType)
	if !ok || l.Token.Type != token.STRING && l.Token.Type != token.HEREDOC {
		return "", errors.New("want a text")
	}
	s, ok := l.Token.Value().(string)
	if !ok {
		return "", errors.New("unreadable text")
	}
	return s, nil
}

// fromJSON reads {"length": 20, "rule": [{"charset": {"charset": "abc", "min-chars": 1}}]}.
func fromJSON(text string) (*Policy, error) {
	var in struct {
		Length int `json:"length"`
		Rule   []struct {
			Charset *struct {
				Charset  string `json:"charset"`
				MinChars int    `json:"min-chars"`
			} `json:"charset"`
		} `json:"rule"`
	}
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the end of the JSON object")
	}
	p := &Policy{Length: in.Length}
	for _, r := range in.Rule {
		if r.Charset == nil {
			return nil, errors.New("a rule is not a charset")
		}
		if err := p.add(r.Charset.Charset, r.Charset.MinChars); err != nil {
			return nil, err
		}
	}
	return p, nil
}
