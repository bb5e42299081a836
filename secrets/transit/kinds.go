package transit

import (
	"crypto/elliptic"
	"slices"

	"filippo.io/mldsa"

	"github.com/fastness-dev/fastness/engine"
)

// A kind is a type of key, as requests name it.
type kind struct {
	name     string
	encrypts bool
	signs    bool
	derives  bool
	macs     bool // cmac/ takes it
	wears    bool // random nonces meet one day: the key rotates before
	public   bool // has a public half
	size     int  // of symmetric material in bytes; 0 is what the key says
	family
}

// A family makes material of a kind, reads what others made, and opens it for
// use. It implements sealers, signers and derivers as far as the kind does.
type family interface {
	// generate makes new material. size is that of a key whose kind has none.
	generate(size int) (material, error)
	// parse takes imported secret material.
	parse(secret []byte) (material, error)
}

// A material is what a version of a key consists of, encoded as its family
// likes it.
type material struct {
	Secret []byte // empty when only the public half is known
	Public []byte // empty for symmetric keys
}

// families that can do more:
type (
	publisher interface {
		// parsePublic takes an imported public key, in DER.
		parsePublic(der []byte) (material, error)
	}
	sealing interface {
		sealer(m material) (sealer, error)
	}
	signing interface {
		signer(m material) (signer, error)
	}
	deriving interface {
		derive(m material, context []byte, convergent bool) (material, error)
	}
)

func aeadKind(name string, size int, wears bool, f aeadMaker) kind {
	return kind{name: name, encrypts: true, derives: true, wears: wears, size: size, family: symmetric{size: size, aead: f}}
}

func kindList() []kind {
	list := []kind{
		aeadKind("aes256-gcm96", 32, true, newGCM),
		aeadKind("aes128-gcm96", 16, true, newGCM),
		aeadKind("chacha20-poly1305", 32, true, newChaCha),
		aeadKind("xchacha20-poly1305", 32, false, newXChaCha),
		{name: "ed25519", signs: true, derives: true, public: true, family: edwards{}},
		{name: "ecdsa-p256", signs: true, public: true, family: weierstrass{elliptic.P256()}},
		{name: "ecdsa-p384", signs: true, public: true, family: weierstrass{elliptic.P384()}},
		{name: "ecdsa-p521", signs: true, public: true, family: weierstrass{elliptic.P521()}},
		{name: "rsa-2048", encrypts: true, signs: true, public: true, family: rivest{2048}},
		{name: "rsa-3072", encrypts: true, signs: true, public: true, family: rivest{3072}},
		{name: "rsa-4096", encrypts: true, signs: true, public: true, family: rivest{4096}},
		{name: "hmac", family: symmetric{}},
		{name: "aes128-cmac", macs: true, size: 16, family: symmetric{size: 16}},
		{name: "aes192-cmac", macs: true, size: 24, family: symmetric{size: 24}},
		{name: "aes256-cmac", macs: true, size: 32, family: symmetric{size: 32}},
	}
	for _, p := range []mldsa.Parameters{mldsa.MLDSA44(), mldsa.MLDSA65(), mldsa.MLDSA87()} {
		name := "ml-dsa-" + p.String()[len("ML-DSA-"):]
		list = append(list, kind{name: name, signs: true, public: true, family: lattice{p}})
		for _, second := range []struct {
			name   string
			family pairable
		}{{"ed25519", edwards{}}, {"ecdsa-p256", weierstrass{elliptic.P256()}}, {"ecdsa-p384", weierstrass{elliptic.P384()}}, {"ecdsa-p521", weierstrass{elliptic.P521()}}} {
			list = append(list, kind{name: "hybrid-" + name + "-" + second.name, signs: true, public: true, family: pair{lattice{p}, second.family}})
		}
	}
	return append(list, kemKinds()...)
}

var kinds = kindList()

// kindOf finds a type of key by its name.
func kindOf(name string) *kind {
	if i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name }); i >= 0 {
		return &kinds[i]
	}
	return nil
}

// kindAsked is the kind that a request to make a key asks for: a name alone, or
// Vault's names with what they leave open in other parameters.
func kindAsked(name, parameterSet, pqc, ec string) (*kind, error) {
	full := name
	switch name {
	case "ml-dsa":
		full = "ml-dsa-" + parameterSet
	case "hybrid":
		if pqc != "ml-dsa" {
			return nil, engine.Bad("unknown hybrid_key_type_pqc %q", pqc)
		}
		full = "hybrid-ml-dsa-" + parameterSet + "-" + ec
	}
	k := kindOf(full)
	switch {
	case k != nil:
		return k, nil
	case full != name:
		return nil, engine.Bad("unknown parameters for key type %s: parameter_set %q, hybrid_key_type_ec %q", name, parameterSet, ec)
	}
	return nil, engine.Bad("unknown key type %s", name)
}
