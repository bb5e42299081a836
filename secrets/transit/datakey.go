package transit

import (
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/fastness-dev/fastness/engine"
)

type dataKeyRequest struct {
	Name       string  `path:"name"`
	Plaintext  string  `path:"plaintext" doc:"plaintext to get the key as it is too, or wrapped."`
	Bits       int     `json:"bits" default:"256" doc:"Length of the key in bits: 128, 256 or 512."`
	Context    *string `json:"context" doc:"Context of a derived key, in base64."`
	Nonce      *string `json:"nonce" doc:"Not taken: nonces are drawn here."`
	Data       *string `json:"associated_data" doc:"Data that must be the same to decrypt; in base64."`
	KeyVersion int     `json:"key_version" doc:"Version to encrypt with; 0 is the latest."`
	Padding    string  `json:"padding_scheme" doc:"Of RSA keys: oaep or pkcs1v15."`
}

type dataKeyAnswer struct {
	Ciphertext string `json:"ciphertext"`
	KeyVersion int    `json:"key_version"`
	Plaintext  string `json:"plaintext,omitempty"`
}

func (req *dataKeyRequest) check(v engine.View) (*key, error) {
	switch {
	case req.Plaintext != "plaintext" && req.Plaintext != "wrapped":
		return nil, engine.Bad("Invalid path, must be 'plaintext' or 'wrapped'")
	case !slices.Contains([]int{128, 256, 512}, req.Bits):
		return nil, engine.Bad("invalid bit length")
	}
	k, err := find(v, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	if !k.kind().encrypts {
		return nil, engine.Bad("message encryption not supported for key type %s", k.Type)
	}
	return k, nil
}

func (e *Engine) dataKey(v engine.View, req dataKeyRequest) (*dataKeyAnswer, error) {
	k, err := req.check(v)
	if err != nil {
		return nil, err
	}
	if k.wears() && e.counted(1) {
		return nil, engine.ErrMustWrite
	}
	return req.draw(v, k, false)
}

func (e *Engine) dataKeyWriting(tx engine.Tx, req dataKeyRequest) (*dataKeyAnswer, error) {
	k, err := req.check(tx)
	if err != nil {
		return nil, err
	}
	if k, err = e.count(tx, req.Name, k, req.KeyVersion); err != nil {
		return nil, err
	}
	return req.draw(tx, k, true)
}

func (req *dataKeyRequest) draw(v engine.View, k *key, counted bool) (*dataKeyAnswer, error) {
	u := user{v: v, k: k, padding: req.Padding, counted: counted}
	context, o, err := u.ready(&item{context: req.Context, nonce: req.Nonce, data: req.Data})
	if err != nil {
		return nil, err
	}
	drawn := make([]byte, req.Bits/8)
	rand.Read(drawn)
	made, n, err := u.seal(req.KeyVersion, context, o, drawn)
	if err != nil {
		return nil, err
	}
	a := &dataKeyAnswer{Ciphertext: textOf(n, made, base64.StdEncoding), KeyVersion: n}
	if req.Plaintext == "plaintext" {
		a.Plaintext = base64.StdEncoding.EncodeToString(drawn)
	}
	return a, nil
}
