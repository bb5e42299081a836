package transit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
)

// An item is what one use of a key is asked with: a request, or one of its
// batch. A nil text was not sent.
type item struct {
	plaintext, ciphertext, input *string
	signature, hmac, cmac        *string
	context, nonce, data         *string
	reference                    string
	version                      int
}

// field is where a batch item's parameter goes, or nil.
func (it *item) field(name string) **string {
	switch name {
	case "plaintext":
		return &it.plaintext
	case "ciphertext":
		return &it.ciphertext
	case "input":
		return &it.input
	case "signature":
		return &it.signature
	case "hmac":
		return &it.hmac
	case "cmac":
		return &it.cmac
	case "context":
		return &it.context
	case "nonce":
		return &it.nonce
	case "associated_data":
		return &it.data
	}
	return nil
}

// text is a text that may be absent.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// bytes reads the item's context and associated data.
func (it *item) bytes() (context, data []byte, err error) {
	if it.context != nil && *it.context != "" {
		if context, err = bytesOf(*it.context, ""); err != nil {
			return nil, nil, err
		}
	}
	if it.data != nil && *it.data != "" {
		if data, err = bytesOf(*it.data, ""); err != nil {
			return nil, nil, err
		}
	}
	return context, data, nil
}

// maxBatch is how many items a batch may have.
const maxBatch = 10_000

// itemsOf reads a batch. Its errors name the item and the parameter.
func itemsOf(list json.RawMessage) ([]item, error) {
	var items []item
	isList, err := engine.EachItem(list, func(raw json.RawMessage) error {
		if len(items) == maxBatch {
			return engine.Bad("batch_input has more than %d items", maxBatch)
		}
		items = append(items, item{})
		if raw[0] != '{' {
			return engine.Bad("failed to parse batch input: '[%d]' expected a map, got %s", len(items)-1, jsonKind(raw))
		}
		return items[len(items)-1].read(len(items)-1, raw)
	})
	switch {
	case err != nil:
		return nil, err
	case !isList:
		return nil, engine.Bad("failed to parse batch input: source data must be an array or slice, got %s", jsonKind(list))
	case len(items) == 0:
		return nil, engine.Bad("missing batch input to process")
	}
	return items, nil
}

func (it *item) read(i int, raw json.RawMessage) error {
	return engine.EachField(raw, func(name string, value json.RawMessage) error {
		if string(value) == "null" {
			return nil
		}
		at := it.field(name)
		if at == nil && name != "reference" {
			if name != "key_version" {
				return nil
			}
			n, err := numberOf(value)
			if err != nil {
				return engine.Bad("failed to parse batch input: '[%d].key_version' expected type 'int', got %s", i, jsonKind(value))
			}
			it.version = n
			return nil
		}
		if value[0] != '"' {
			return engine.Bad("failed to parse batch input: '[%d].%s' expected type 'string', got %s", i, name, jsonKind(value))
		}
		s, err := engine.Text(value)
		if err != nil {
			return engine.Bad("failed to parse batch input: '[%d].%s': %s", i, name, err)
		}
		if at == nil {
			it.reference = s
		} else {
			*at = &s
		}
		return nil
	})
}

func numberOf(raw json.RawMessage) (int, error) {
	s := string(raw)
	if raw[0] == '"' {
		var err error
		if s, err = engine.Text(raw); err != nil {
			return 0, err
		}
	}
	return strconv.Atoi(s)
}

func jsonKind(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "string"
	case '{':
		return "map"
	case '[':
		return "list"
	case 't', 'f':
		return "bool"
	case 'n':
		return "null"
	}
	return "number"
}

// An outcome is what became of an item.
type outcome struct {
	name  string // of the text: ciphertext, plaintext …
	text  string // which JSON can hold as it is
	valid *bool  // of verify, in place of a text
	n     int    // version that was used, if it is told
	err   string // of the item
	other error  // not the item's fault: the whole request fails
}

// failed is the outcome of an error.
func failed(err error) outcome {
	var told *api.Error
	if errors.As(err, &told) && told.Status == http.StatusBadRequest && len(told.Errors) > 0 {
		return outcome{err: told.Errors[0]}
	}
	return outcome{other: err}
}

func (o *outcome) appendFields(b []byte) []byte {
	switch {
	case o.valid != nil:
		b = strconv.AppendBool(append(b, `"valid":`...), *o.valid)
	default:
		b = append(append(append(b, '"'), o.name...), `":"`...)
		b = append(append(b, o.text...), '"')
	}
	if o.n > 0 {
		b = strconv.AppendInt(append(b, `,"key_version":`...), int64(o.n), 10)
	}
	return b
}

// single is the answer of a request that is no batch.
func single(o outcome) (*engine.Answer, error) {
	switch {
	case o.other != nil:
		return nil, o.other
	case o.err != "":
		return nil, engine.Bad("%s", o.err)
	}
	b := make([]byte, 0, len(o.text)+64)
	return &engine.Answer{Data: json.RawMessage(append(o.appendFields(append(b, '{')), '}'))}, nil
}

// results puts the outcomes of a batch together. blank is what stands before the
// error of an item that failed.
func results(items []item, outcomes []outcome, blank string) (data json.RawMessage, failures int, err error) {
	size := 32
	for i := range outcomes {
		size += len(outcomes[i].text) + len(items[i].reference) + 96
	}
	b := append(make([]byte, 0, size), `{"batch_results":[`...)
	for i := range outcomes {
		o := &outcomes[i]
		if o.other != nil {
			return nil, 0, fmt.Errorf("item %d: %w", i, o.other)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if o.err != "" {
			failures++
			b = append(append(b, blank...), `"error":`...)
			b = appendString(b, o.err)
		} else {
			b = o.appendFields(b)
		}
		b = append(b, `,"reference":`...)
		b = append(appendString(b, items[i].reference), '}')
	}
	return append(b, `]}`...), failures, nil
}

func appendString(b []byte, s string) []byte {
	if s == "" {
		return append(b, `""`...)
	}
	j, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // strings always encode
	}
	return append(b, j...)
}

// batched answers a batch whose failures do not change the status.
func batched(items []item, outcomes []outcome, blank string) (*engine.Answer, error) {
	data, _, err := results(items, outcomes, blank)
	if err != nil {
		return nil, err
	}
	return &engine.Answer{Data: data}, nil
}

// graded answers a batch with 400 when items failed, or with the status that was
// asked for when some did not.
func graded(items []item, outcomes []outcome, blank string, partial int) (*engine.Answer, error) {
	data, failures, err := results(items, outcomes, blank)
	if err != nil {
		return nil, err
	}
	a := &engine.Answer{Data: data}
	switch {
	case failures > 0 && failures < len(items) && partial != 0:
		a.Status = partial
	case failures > 0:
		a.Status = http.StatusBadRequest
	}
	return a, nil
}

// checkPartial refuses a status that no answer can have.
func checkPartial(code int) error {
	if code != 0 && (code < 200 || code > 599) {
		return engine.Bad("partial_failure_response_code must be a status between 200 and 599")
	}
	return nil
}
