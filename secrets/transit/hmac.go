package transit

import (
	"crypto"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"strconv"

	"github.com/fastness-dev/fastness/engine"
)

func hmacRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Compute("hmac/{name}[/{urlalgorithm}]", (*Engine).hmac).Doc("Make an HMAC with a key."),
		engine.Compute("cmac/{name}[/{urlmaclength}]", (*Engine).cmac).Doc("Make a CMAC with a key."),
	}
}

type macRequest struct {
	Name         string          `path:"name"`
	URLAlgorithm string          `path:"urlalgorithm" doc:"Hash function."`
	Algorithm    string          `json:"algorithm" default:"sha2-256" doc:"Hash function, if the path names none."`
	Input        *string         `json:"input" doc:"What is authenticated, in base64."`
	KeyVersion   int             `json:"key_version" doc:"Version to use; 0 is the latest."`
	Batch        json.RawMessage `json:"batch_input" doc:"Items to work on, in place of one."`
}

// macHash is the hash of HMACs with a name.
func macHash(name string) (crypto.Hash, error) {
	h, ok := hashNamed(name)
	if !ok || h == 0 {
		return 0, engine.Bad("unsupported algorithm %q", name)
	}
	return h, nil
}

// hmacKey is what a version makes HMACs with.
func (k *key) hmacKey(e *version) ([]byte, error) {
	switch {
	case k.Type == "hmac":
		return e.Secret, nil
	case len(e.HMAC) == 0:
		return nil, engine.Bad("no HMAC key exists for that key version")
	}
	return e.HMAC, nil
}

func (*Engine) hmac(v engine.View, req macRequest) (*engine.Answer, error) {
	name := req.Algorithm
	if req.URLAlgorithm != "" {
		name = req.URLAlgorithm
	}
	h, err := macHash(name)
	if err != nil {
		return nil, err
	}
	k, err := find(v, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	return eachMAC(req.Batch, item{input: req.Input, version: req.KeyVersion}, func(it *item) outcome { return hmacItem(v, k, h, it) })
}

// eachMAC runs one for a request, or for the items of its batch.
func eachMAC(batch json.RawMessage, alone item, one func(*item) outcome) (*engine.Answer, error) {
	if len(batch) == 0 || string(batch) == "null" {
		return single(one(&alone))
	}
	items, err := itemsOf(batch)
	if err != nil {
		return nil, err
	}
	outcomes := make([]outcome, len(items))
	for i := range items {
		outcomes[i] = one(&items[i])
	}
	return batched(items, outcomes, "")
}

func hmacItem(v engine.View, k *key, h crypto.Hash, it *item) outcome {
	input, err := bytesOf(text(it.input), badInput)
	if err != nil {
		return failed(err)
	}
	n, err := k.toUse(it.version, "HMAC")
	if err != nil {
		return failed(err)
	}
	sum, err := k.sum(v, n, h, input)
	if err != nil {
		return failed(err)
	}
	return outcome{name: "hmac", text: textOf(n, sum, base64.StdEncoding)}
}

// sum is the HMAC of input with a version of the key.
func (k *key) sum(v engine.View, n int, h crypto.Hash, input []byte) ([]byte, error) {
	e, err := k.version(v, n)
	if err != nil {
		return nil, err
	}
	secret, err := k.hmacKey(e)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(h.New, secret)
	mac.Write(input)
	return mac.Sum(nil), nil
}

// made reads a MAC that is to be verified.
func (k *key) made(s, what string) (n int, mac []byte, err error) {
	n, encoded, err := cutText(s, what, nil)
	if err != nil {
		return 0, nil, err
	}
	if n, err = k.toUndo(n, what); err != nil {
		return 0, nil, err
	}
	mac, err = base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return 0, nil, engine.Bad("invalid %s: unable to decode as base64: %s", what, err)
	}
	return n, mac, nil
}

func verifyHMAC(v engine.View, k *key, h crypto.Hash, it *item) outcome {
	input, err := bytesOf(text(it.input), badInput)
	if err != nil {
		return failed(err)
	}
	n, mac, err := k.made(*it.hmac, "HMAC")
	if err != nil {
		return failed(err)
	}
	sum, err := k.sum(v, n, h, input)
	if err != nil {
		return failed(err)
	}
	valid := hmac.Equal(sum, mac)
	return outcome{valid: &valid}
}

type cmacRequest struct {
	Name       string          `path:"name"`
	URLLength  string          `path:"urlmaclength" doc:"Length of the MAC in bytes."`
	Length     int             `json:"mac_length" default:"16" doc:"Length of the MAC in bytes, if the path has none."`
	Input      *string         `json:"input" doc:"What is authenticated, in base64."`
	KeyVersion int             `json:"key_version" doc:"Version to use; 0 is the latest."`
	Batch      json.RawMessage `json:"batch_input" doc:"Items to work on, in place of one."`
}

// checkLength refuses lengths that no CMAC has.
func checkLength(n int) error {
	if n < minCMAC || n > cmacSize {
		return engine.Bad("mac_length must be between %d and %d bytes", minCMAC, cmacSize)
	}
	return nil
}

func (*Engine) cmac(v engine.View, req cmacRequest) (*engine.Answer, error) {
	length := req.Length
	if req.URLLength != "" {
		var err error
		if length, err = strconv.Atoi(req.URLLength); err != nil {
			return nil, engine.Bad("mac_length must be a number of bytes")
		}
	}
	if err := checkLength(length); err != nil {
		return nil, err
	}
	k, err := find(v, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	if !k.kind().macs {
		return nil, engine.Bad("key type %s does not support CMAC", k.Type)
	}
	return eachMAC(req.Batch, item{input: req.Input, version: req.KeyVersion}, func(it *item) outcome {
		input, err := bytesOf(text(it.input), badInput)
		if err != nil {
			return failed(err)
		}
		n, err := k.toUse(it.version, "CMAC")
		if err != nil {
			return failed(err)
		}
		e, err := k.version(v, n)
		if err != nil {
			return failed(err)
		}
		sum, err := cmacOf(e.Secret, input)
		if err != nil {
			return failed(err)
		}
		return outcome{name: "cmac", text: textOf(n, sum[:length], base64.StdEncoding)}
	})
}

func verifyCMAC(v engine.View, k *key, length int, it *item) outcome {
	input, err := bytesOf(text(it.input), badInput)
	if err != nil {
		return failed(err)
	}
	n, mac, err := k.made(*it.cmac, "CMAC")
	if err != nil {
		return failed(err)
	}
	e, err := k.version(v, n)
	if err != nil {
		return failed(err)
	}
	sum, err := cmacOf(e.Secret, input)
	if err != nil {
		return failed(err)
	}
	valid := subtle.ConstantTimeCompare(sum[:length], mac) == 1
	return outcome{valid: &valid}
}
