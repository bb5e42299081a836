package transit

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strconv"

	_ "crypto/sha1" //nolint:gosec // of signatures that others ask for by name
	_ "crypto/sha256"
	_ "crypto/sha3"
	_ "crypto/sha512"

	"github.com/fastness-dev/fastness/engine"
)

// A signer signs and verifies with one version of a key. It is used by many at
// once.
type signer interface {
	// sign refuses what the caller must not ask for. A key without its private
	// half signs nothing.
	sign(o signOptions, input []byte) ([]byte, error)
	// verify says whether the signature is one; an error is of the question.
	verify(o signOptions, input, sig []byte) (bool, error)
}

type signOptions struct {
	hash      crypto.Hash // 0 is none
	prehashed bool
	scheme    string // of RSA: pss, pkcs1v15
	jws       bool   // of ECDSA: r‖s instead of ASN.1
	salt      int    // of RSA-PSS, in bytes, or one of crypto/rsa's names
	context   []byte // of Ed25519ctx and ph, and ML-DSA
}

// digest is what is signed by schemes that sign hashes.
func (o *signOptions) digest(input []byte) (crypto.Hash, []byte) {
	if o.prehashed || o.hash == 0 {
		return o.hash, input
	}
	h := o.hash.New()
	h.Write(input)
	return o.hash, h.Sum(nil)
}

// encoding is how signatures are spelled.
func (o *signOptions) encoding() *base64.Encoding {
	if o.jws {
		return base64.RawURLEncoding
	}
	return base64.StdEncoding
}

// hashNamed is a hash by the name that requests use.
func hashNamed(name string) (crypto.Hash, bool) {
	switch name {
	case "sha1":
		return crypto.SHA1, true
	case "sha2-224":
		return crypto.SHA224, true
	case "sha2-256":
		return crypto.SHA256, true
	case "sha2-384":
		return crypto.SHA384, true
	case "sha2-512":
		return crypto.SHA512, true
	case "sha3-224":
		return crypto.SHA3_224, true
	case "sha3-256":
		return crypto.SHA3_256, true
	case "sha3-384":
		return crypto.SHA3_384, true
	case "sha3-512":
		return crypto.SHA3_512, true
	case "none":
		return 0, true
	}
	return 0, false
}

func signRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Compute("sign/{name}[/{urlalgorithm}]", (*Engine).sign).Doc("Sign with a key."),
		engine.Compute("verify/{name}[/{urlalgorithm}]", (*Engine).verify).Doc("Verify a signature or MAC."),
	}
}

type signRequest struct {
	Name         string          `path:"name"`
	URLAlgorithm string          `path:"urlalgorithm" doc:"Hash function."`
	Hash         string          `json:"hash_algorithm" doc:"Hash function, if the path names none."`
	Algorithm    string          `json:"algorithm" doc:"Former name of hash_algorithm."`
	Scheme       string          `json:"signature_algorithm" doc:"Of RSA keys: pss or pkcs1v15."`
	Marshaling   string          `json:"marshaling_algorithm" default:"asn1" doc:"asn1 or jws."`
	Salt         string          `json:"salt_length" default:"auto" doc:"Of pss: auto, hash or a number of bytes."`
	Prehashed    bool            `json:"prehashed" doc:"Input is the hash already."`
	SignContext  string          `json:"signature_context" doc:"Of Ed25519 and ML-DSA, in base64."`
	Context      *string         `json:"context" doc:"Context of a derived key, in base64."`
	Input        *string         `json:"input" doc:"What is signed, in base64."`
	KeyVersion   int             `json:"key_version" doc:"Version to sign with; 0 is the latest."`
	Signature    *string         `json:"signature" doc:"Signature to verify."`
	HMAC         *string         `json:"hmac" doc:"HMAC to verify."`
	CMAC         *string         `json:"cmac" doc:"CMAC to verify."`
	MACLength    int             `json:"mac_length" default:"16" doc:"Length of the CMAC in bytes."`
	Batch        json.RawMessage `json:"batch_input" doc:"Items to work on, in place of one."`
	Partial      int             `json:"partial_failure_response_code" doc:"Status of an answer of which some items failed."`
}

func (req *signRequest) batch() bool { return len(req.Batch) > 0 && string(req.Batch) != "null" }

func (req *signRequest) items() ([]item, error) {
	if err := checkPartial(req.Partial); err != nil {
		return nil, err
	}
	if req.batch() {
		return itemsOf(req.Batch)
	}
	return []item{{input: req.Input, context: req.Context, version: req.KeyVersion, signature: req.Signature, hmac: req.HMAC, cmac: req.CMAC}}, nil
}

// algorithm is the hash function that is asked for.
func (req *signRequest) algorithm() string {
	for _, name := range []string{req.URLAlgorithm, req.Hash, req.Algorithm} {
		if name != "" {
			return name
		}
	}
	return "sha2-256"
}

// options checks what a request to sign or verify says about how.
func (req *signRequest) options() (o signOptions, err error) {
	o = signOptions{prehashed: req.Prehashed, scheme: req.Scheme}
	var ok bool
	if o.hash, ok = hashNamed(req.algorithm()); !ok {
		return o, engine.Bad("invalid hash algorithm %q", req.algorithm())
	}
	if o.hash == 0 && (!o.prehashed || o.scheme != "pkcs1v15") {
		return o, engine.Bad("hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15")
	}
	switch req.Marshaling {
	case "", "asn1":
	case "jws":
		o.jws = true
	default:
		return o, engine.Bad("invalid marshaling type %q", req.Marshaling)
	}
	if o.salt, err = saltLength(req.Salt); err != nil {
		return o, err
	}
	if req.SignContext != "" {
		if o.context, err = bytesOf(req.SignContext, "signature_context: "); err != nil {
			return o, err
		}
		if len(o.context) > 255 {
			return o, engine.Bad("signature_context is longer than 255 bytes")
		}
	}
	return o, nil
}

func saltLength(s string) (int, error) {
	switch s {
	case "", "auto":
		return rsa.PSSSaltLengthAuto, nil
	case "hash":
		return rsa.PSSSaltLengthEqualsHash, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, engine.Bad("salt length neither 'auto', 'hash', nor an int: %s", s)
	case n < rsa.PSSSaltLengthEqualsHash:
		return 0, engine.Bad("salt length is invalid: %d", n)
	}
	return n, nil
}

func (*Engine) sign(v engine.View, req signRequest) (*engine.Answer, error) {
	o, err := req.options()
	if err != nil {
		return nil, err
	}
	items, err := req.items()
	if err != nil {
		return nil, err
	}
	k, err := find(v, req.Name, "signing key not found")
	if err != nil {
		return nil, err
	}
	if !k.kind().signs {
		return nil, engine.Bad("key type %s does not support signing", k.Type)
	}
	if !req.batch() {
		return single(signItem(v, k, o, &items[0]))
	}
	outcomes := make([]outcome, len(items))
	for i := range items {
		outcomes[i] = signItem(v, k, o, &items[i])
	}
	return batched(items, outcomes, `"key_version":0,`)
}

// ready reads what the item of a request to sign or verify has.
func (it *item) ready() (input, context []byte, err error) {
	if input, err = bytesOf(text(it.input), badInput); err != nil {
		return nil, nil, err
	}
	context, _, err = it.bytes()
	return input, context, err
}

func signItem(v engine.View, k *key, o signOptions, it *item) outcome {
	input, context, err := it.ready()
	if err != nil {
		return failed(err)
	}
	n, err := k.toUse(it.version, "signing")
	if err != nil {
		return failed(err)
	}
	e, err := k.version(v, n)
	if err != nil {
		return failed(err)
	}
	s, err := k.signer(e, context)
	if err != nil {
		return failed(err)
	}
	sig, err := s.sign(o, input)
	if err != nil {
		return failed(err)
	}
	return outcome{name: "signature", text: textOf(n, sig, o.encoding()), n: n}
}
