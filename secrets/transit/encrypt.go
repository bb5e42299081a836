package transit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/fastness-dev/fastness/engine"
)

func cipherRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Exists(engine.ComputeOr("encrypt/{name}", (*Engine).encrypt, (*Engine).encryptWriting).
			Doc("Encrypt with a key; a missing one is made."), (*Engine).exists),
		engine.Compute("decrypt/{name}", (*Engine).decrypt).Doc("Decrypt with a key."),
		engine.ComputeOr("rewrap/{name}", (*Engine).rewrap, (*Engine).rewrapWriting).
			Doc("Encrypt anew, with the latest version, what an earlier one encrypted."),
		engine.ComputeOr("datakey/{plaintext}/{name}", (*Engine).dataKey, (*Engine).dataKeyWriting).
			Doc("Draw a key, encrypted with a key here and, if asked for, as it is."),
	}
}

type cipherRequest struct {
	Name       string          `path:"name"`
	Plaintext  *string         `json:"plaintext" doc:"What to encrypt, in base64."`
	Ciphertext *string         `json:"ciphertext" doc:"What was encrypted."`
	Context    *string         `json:"context" doc:"Context of a derived key, in base64."`
	Nonce      *string         `json:"nonce" doc:"Not taken: nonces are drawn here."`
	Data       *string         `json:"associated_data" doc:"Data that is not encrypted, but must be the same to decrypt; in base64."`
	KeyVersion int             `json:"key_version" doc:"Version to encrypt with; 0 is the latest."`
	Type       string          `json:"type" default:"aes256-gcm96" doc:"Type of a key that is made."`
	Convergent bool            `json:"convergent_encryption" doc:"Of a key that is made: one plaintext has one ciphertext."`
	Padding    string          `json:"padding_scheme" doc:"Of RSA keys: oaep or pkcs1v15."`
	Batch      json.RawMessage `json:"batch_input" doc:"Items to work on, in place of one."`
	Partial    int             `json:"partial_failure_response_code" doc:"Status of an answer of which some items failed."`
}

type nameRequest struct {
	Name string `path:"name"`
}

func (*Engine) exists(v engine.View, req nameRequest) (bool, error) {
	k, err := keys(v).Peek(req.Name)
	return k != nil, err
}

// items are those of the request: one, or its batch. what is the parameter that
// none may lack; "" if that is an item's own fault.
func (req *cipherRequest) items(what string) ([]item, error) {
	if err := checkPartial(req.Partial); err != nil {
		return nil, err
	}
	if len(req.Batch) == 0 || string(req.Batch) == "null" {
		return []item{{plaintext: req.Plaintext, ciphertext: req.Ciphertext, context: req.Context, nonce: req.Nonce,
			data: req.Data, version: req.KeyVersion}}, nil
	}
	items, err := itemsOf(req.Batch)
	if err != nil {
		return nil, err
	}
	for i := range items {
		if what == "plaintext" && items[i].plaintext == nil {
			return nil, engine.Bad("failed to parse batch input: '[%d].plaintext' missing plaintext to encrypt", i)
		}
		if what == "plaintext" && (items[i].context == nil) != (items[0].context == nil) {
			return nil, engine.Bad("context should be set either in all the request blocks or in none")
		}
	}
	return items, nil
}

func (req *cipherRequest) batch() bool { return len(req.Batch) > 0 && string(req.Batch) != "null" }

// noKey is what a request for a key that there is not is told.
const noKey = "encryption key not found"

func (e *Engine) encrypt(v engine.View, req cipherRequest) (*engine.Answer, error) {
	items, err := req.items("plaintext")
	if err != nil {
		return nil, err
	}
	if k, err := keys(v).Peek(req.Name); err == nil && k == nil {
		return nil, engine.ErrMustWrite
	}
	k, err := find(v, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	if k.wears() && e.counted(len(items)) {
		return nil, engine.ErrMustWrite
	}
	return req.encryptAll(v, k, items, false)
}

// encryptWriting makes a missing key, or counts what an existing one was used
// for.
func (e *Engine) encryptWriting(tx engine.Tx, req cipherRequest) (*engine.Answer, error) {
	items, err := req.items("plaintext")
	if err != nil {
		return nil, err
	}
	k, err := keys(tx).Peek(req.Name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read key: %w", err)
	case k == nil:
		k, err = req.upsert(tx, items)
	case k.SoftDeleted:
		return nil, engine.Bad("key %s is soft-deleted; it can be restored", req.Name)
	default:
		k, err = e.count(tx, req.Name, k, items[0].version)
	}
	if err != nil {
		return nil, err
	}
	return req.encryptAll(tx, k, items, true)
}

// upsert makes the key of a request to encrypt.
func (req *cipherRequest) upsert(tx engine.Tx, items []item) (*key, error) {
	c, err := config(tx)
	if err != nil {
		return nil, err
	}
	if c.DisableUpsert {
		return nil, engine.Bad("%s", noKey)
	}
	kind := kindOf(req.Type)
	switch {
	case kind == nil:
		return nil, engine.Bad("unknown key type %s", req.Type)
	case !kind.encrypts:
		return nil, engine.Bad("key type %s does not encrypt", req.Type)
	}
	k := &key{Type: req.Type, Derived: items[0].context != nil && *items[0].context != "", Convergent: req.Convergent}
	if err := k.create(tx, req.Name, material{}); err != nil {
		return nil, err
	}
	return k, nil
}

// encryptAll encrypts items with a key.
func (req *cipherRequest) encryptAll(v engine.View, k *key, items []item, counted bool) (*engine.Answer, error) {
	if !k.kind().encrypts {
		return nil, engine.Bad("message encryption not supported for key type %s", k.Type)
	}
	u := user{v: v, k: k, padding: req.Padding, counted: counted}
	if !req.batch() {
		return single(u.encrypt(&items[0]))
	}
	outcomes := make([]outcome, len(items))
	for i := range items {
		outcomes[i] = u.encrypt(&items[i])
	}
	return graded(items, outcomes, "", req.Partial)
}

func (*Engine) decrypt(v engine.View, req cipherRequest) (*engine.Answer, error) {
	items, err := req.items("")
	if err != nil {
		return nil, err
	}
	if !req.batch() && text(req.Ciphertext) == "" {
		return nil, engine.Bad("missing ciphertext to decrypt")
	}
	k, err := find(v, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	u, err := decrypter(v, k, req.Padding)
	if err != nil {
		return nil, err
	}
	if !req.batch() {
		return single(u.decrypt(&items[0]))
	}
	outcomes := make([]outcome, len(items))
	for i := range items {
		outcomes[i] = u.decrypt(&items[i])
	}
	return graded(items, outcomes, `"plaintext":"",`, req.Partial)
}

func decrypter(v engine.View, k *key, padding string) (user, error) {
	if !k.kind().encrypts {
		return user{}, engine.Bad("message decryption not supported for key type %s", k.Type)
	}
	c, err := config(v)
	if err != nil {
		return user{}, err
	}
	return user{v: v, k: k, padding: padding, also: c.Prefixes}, nil
}

func (e *Engine) rewrap(v engine.View, req cipherRequest) (*engine.Answer, error) {
	items, err := req.items("")
	if err != nil {
		return nil, err
	}
	if !req.batch() && text(req.Ciphertext) == "" {
		return nil, engine.Bad("missing ciphertext to decrypt")
	}
	k, err := find(v, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	if k.wears() && e.counted(len(items)) {
		return nil, engine.ErrMustWrite
	}
	return req.rewrapAll(v, k, items, false)
}

func (e *Engine) rewrapWriting(tx engine.Tx, req cipherRequest) (*engine.Answer, error) {
	items, err := req.items("")
	if err != nil {
		return nil, err
	}
	k, err := find(tx, req.Name, noKey)
	if err != nil {
		return nil, err
	}
	if k, err = e.count(tx, req.Name, k, items[0].version); err != nil {
		return nil, err
	}
	return req.rewrapAll(tx, k, items, true)
}

func (req *cipherRequest) rewrapAll(v engine.View, k *key, items []item, counted bool) (*engine.Answer, error) {
	u, err := decrypter(v, k, req.Padding)
	if err != nil {
		return nil, err
	}
	u.counted = counted
	one := func(it *item) outcome {
		o := u.decrypt(it)
		if o.err != "" || o.other != nil {
			return o
		}
		again := *it
		again.plaintext = &o.text
		return u.encrypt(&again)
	}
	if !req.batch() {
		return single(one(&items[0]))
	}
	outcomes := make([]outcome, len(items))
	for i := range items {
		outcomes[i] = one(&items[i])
	}
	return batched(items, outcomes, "")
}

// A user uses one key for the items of one request.
type user struct {
	v       engine.View
	k       *key
	padding string
	also    []string // prefixes besides Vault's
	counted bool     // its uses are, so that a version that ends with them may serve
	n       int      // of the version looked up last, which most items of a batch share
	last    *version
}

func (u *user) version(n int) (e *version, err error) {
	if u.last == nil || u.n != n {
		if e, err = u.k.version(u.v, n); err != nil {
			return nil, err
		}
		u.n, u.last = n, e
	}
	return u.last, nil
}

func (u *user) options(data []byte) (sealOptions, error) {
	o := sealOptions{data: data}
	switch u.padding {
	case "", "oaep":
	case "pkcs1v15":
		o.pkcs1 = true
	default:
		return o, engine.Bad("unknown padding_scheme %q", u.padding)
	}
	return o, nil
}

// ready reads what encryption and decryption have in common.
func (u *user) ready(it *item) (context []byte, o sealOptions, err error) {
	if text(it.nonce) != "" {
		return nil, o, engine.Bad("provided nonce not allowed for this key")
	}
	context, data, err := it.bytes()
	if err != nil {
		return nil, o, err
	}
	o, err = u.options(data)
	return context, o, err
}

func (u *user) encrypt(it *item) outcome {
	if it.plaintext == nil {
		return outcome{err: "missing plaintext to encrypt"}
	}
	plaintext, err := bytesOf(*it.plaintext, "")
	if err != nil {
		return failed(err)
	}
	context, o, err := u.ready(it)
	if err != nil {
		return failed(err)
	}
	made, n, err := u.seal(it.version, context, o, plaintext)
	if err != nil {
		return failed(err)
	}
	return outcome{name: "ciphertext", text: textOf(n, made, base64.StdEncoding), n: n}
}

func (u *user) seal(asked int, context []byte, o sealOptions, plaintext []byte) (made []byte, n int, err error) {
	if n, err = u.k.toUse(asked, "encryption"); err != nil {
		return nil, 0, err
	}
	e, err := u.version(n)
	if err != nil {
		return nil, 0, err
	}
	if e.Worn && !u.counted {
		return nil, 0, worn(n)
	}
	s, err := u.k.sealer(e, context)
	if err != nil {
		return nil, 0, err
	}
	made, err = s.seal(o, plaintext)
	return made, n, err
}

func (u *user) decrypt(it *item) outcome {
	if text(it.ciphertext) == "" {
		return outcome{err: "missing ciphertext to decrypt"}
	}
	context, o, err := u.ready(it)
	if err != nil {
		return failed(err)
	}
	n, encoded, err := cutText(*it.ciphertext, "ciphertext", u.also)
	if err != nil {
		return failed(err)
	}
	if n, err = u.k.toUndo(n, "ciphertext"); err != nil {
		return failed(err)
	}
	sealed, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return outcome{err: "invalid ciphertext: could not decode base64"}
	}
	e, err := u.version(n)
	if err != nil {
		return failed(err)
	}
	s, err := u.k.sealer(e, context)
	if err != nil {
		return failed(err)
	}
	plaintext, err := s.open(o, sealed)
	if err != nil {
		return failed(err)
	}
	return outcome{name: "plaintext", text: base64.StdEncoding.EncodeToString(plaintext)}
}
