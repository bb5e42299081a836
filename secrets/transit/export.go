package transit

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/internal/keywrap"
)

type exportRequest struct {
	Type    string `path:"type" doc:"encryption-key, signing-key, hmac-key, cmac-key, public-key or certificate-chain."`
	Name    string `path:"name"`
	Version string `path:"version" doc:"Number of a version, or latest; all without it."`
}

type exportAnswer struct {
	Keys map[string]string `json:"keys"`
	Name string            `json:"name"`
	Type string            `json:"type"`
}

// exportable refuses kinds of export that a key does not have.
func (k *key) exportable(what string) error {
	kind := k.kind()
	switch what {
	case "encryption-key":
		if !kind.encrypts {
			return engine.Bad("encryption not supported for the key")
		}
	case "signing-key":
		if !kind.signs {
			return engine.Bad("signing not supported for the key")
		}
	case "cmac-key":
		if !kind.macs {
			return engine.Bad("CMAC not supported for the key")
		}
	case "public-key", "certificate-chain":
		if !kind.public {
			return engine.Bad("unknown key type %s for export type %s", k.Type, what)
		}
		return nil
	case "hmac-key":
	default:
		return engine.Bad("invalid export type: %s", what)
	}
	if !k.Exportable {
		return engine.Bad("private key material is not exportable")
	}
	return nil
}

func (*Engine) export(v engine.View, req exportRequest) (*exportAnswer, error) {
	switch req.Type {
	case "encryption-key", "signing-key", "hmac-key", "cmac-key", "public-key", "certificate-chain":
	default:
		return nil, engine.Bad("invalid export type: %s", req.Type)
	}
	k, err := keys(v).Peek(req.Name)
	if err != nil || k == nil {
		return nil, err
	}
	if err := k.exportable(req.Type); err != nil {
		return nil, err
	}
	return k.exportAll(v, req.Name, req.Version, func(e *version) (string, error) { return k.exported(e, req.Type) })
}

// exportAll answers what one says of the versions that are asked for.
func (k *key) exportAll(v engine.View, name, asked string, one func(*version) (string, error)) (*exportAnswer, error) {
	from, to := max(k.MinDecrypt, k.first()), k.Latest
	switch asked {
	case "":
	case "latest":
		from = k.Latest
	default:
		n, err := strconv.Atoi(strings.TrimPrefix(asked, "v"))
		switch {
		case err != nil:
			return nil, engine.Bad("invalid key version")
		case n < from && n >= 1:
			return nil, engine.Bad("version for export is below minimum decryption version")
		case n < 1 || n > k.Latest:
			return nil, engine.Bad("version does not exist or cannot be found")
		}
		from, to = n, n
	}
	a := &exportAnswer{Keys: make(map[string]string, to-from+1), Name: name, Type: k.Type}
	for n := from; n <= to; n++ {
		e, err := k.version(v, n)
		if err != nil {
			return nil, err
		}
		s, err := one(e)
		if err != nil {
			return nil, err
		}
		a.Keys[strconv.Itoa(n)] = s
	}
	return a, nil
}

// exported spells a version's material.
func (k *key) exported(e *version, what string) (string, error) {
	switch what {
	case "hmac-key":
		b, err := k.hmacKey(e)
		return base64.StdEncoding.EncodeToString(b), err
	case "public-key":
		if k.Derived {
			return "", engine.Bad("a derived key has a public key for each context, which reading the key answers")
		}
		return strings.TrimSpace(k.publicText(e.Public)), nil
	case "certificate-chain":
		if len(e.Chain) == 0 {
			return "", engine.Bad("certificate chain for given key version not set")
		}
		return chainText(e.Chain), nil
	}
	if len(e.Secret) == 0 {
		return "", engine.Bad("the key has no private part to export")
	}
	switch k.kind().family.(type) {
	case weierstrass, rivest:
		return privateText(e.Secret)
	}
	return base64.StdEncoding.EncodeToString(e.Secret), nil
}

// privateText is a private key in PEM, as Vault exports it.
func privateText(der []byte) (string, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return "", fmt.Errorf("decode private key: %w", err)
	}
	block := &pem.Block{}
	switch k := parsed.(type) {
	case *rsa.PrivateKey:
		block.Type, block.Bytes = "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)
	case *ecdsa.PrivateKey:
		block.Type = "EC PRIVATE KEY"
		if block.Bytes, err = x509.MarshalECPrivateKey(k); err != nil {
			return "", fmt.Errorf("encode private key: %w", err)
		}
	default:
		return "", fmt.Errorf("no PEM for a %T", parsed)
	}
	return string(pem.EncodeToMemory(block)), nil
}

type wrappedRequest struct {
	Destination string `path:"destination" doc:"RSA key that holds the other server's wrapping_key."`
	Source      string `path:"source" doc:"Key to export."`
	Version     string `path:"version" doc:"Number of a version, or latest; all without it."`
	Hash        string `json:"hash" default:"SHA256" doc:"Of the RSA-OAEP: SHA1, SHA224, SHA256, SHA384 or SHA512."`
}

func (*Engine) exportWrapped(v engine.View, req wrappedRequest) (*exportAnswer, error) {
	h, ok := keywrap.Hash(req.Hash)
	if !ok {
		return nil, engine.Bad("unknown hash function: %s", req.Hash)
	}
	k, err := find(v, req.Source, "no such source key to export")
	if err != nil {
		return nil, err
	}
	if !k.Exportable {
		return nil, engine.Bad("private key material is not exportable")
	}
	to, err := find(v, req.Destination, "no such destination key to export to")
	if err != nil {
		return nil, err
	}
	f, ok := to.kind().family.(rivest)
	if !ok {
		return nil, engine.Bad("the destination must be an RSA key")
	}
	e, err := to.version(v, to.Latest)
	if err != nil {
		return nil, err
	}
	public, err := f.open(e.material())
	if err != nil {
		return nil, fmt.Errorf("open destination key: %w", err)
	}
	return k.exportAll(v, req.Source, req.Version, func(e *version) (string, error) {
		secret, err := k.importable(e)
		if err != nil {
			return "", err
		}
		b, err := keywrap.For(public.public, h, secret)
		return base64.StdEncoding.EncodeToString(b), err
	})
}

// importable is a version's material as import takes it.
func (k *key) importable(e *version) ([]byte, error) {
	if len(e.Secret) == 0 {
		return nil, engine.Bad("the key has no private part to export")
	}
	if _, ok := k.kind().family.(edwards); ok {
		s, err := edwards{}.signer(e.material())
		if err != nil {
			return nil, err
		}
		return x509.MarshalPKCS8PrivateKey(s.(edwardsKey).private)
	}
	return e.Secret, nil
}
