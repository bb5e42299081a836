package transit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/fastness-dev/fastness/engine"
)

// weierstrass is the family of ECDSA keys on a curve.
type weierstrass struct{ curve elliptic.Curve }

func (f weierstrass) generate(int) (material, error) {
	k, err := ecdsa.GenerateKey(f.curve, rand.Reader)
	if err != nil {
		return material{}, err
	}
	return pkcs8(k, k.Public())
}

func (f weierstrass) parse(secret []byte) (material, error) {
	parsed, err := parsePrivate(secret)
	if err != nil {
		return material{}, err
	}
	k, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return material{}, errWrongKey
	}
	if k.Curve != f.curve {
		return material{}, fmt.Errorf("invalid curve: expected %s, got %s", f.curve.Params().Name, k.Curve.Params().Name)
	}
	return pkcs8(k, k.Public())
}

func (f weierstrass) parsePublic(der []byte) (material, error) {
	_, err := f.public(der)
	return material{Public: der}, err
}

func (f weierstrass) public(der []byte) (*ecdsa.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("error parsing public key: %w", err)
	}
	k, ok := parsed.(*ecdsa.PublicKey)
	if !ok || k.Curve != f.curve {
		return nil, errWrongKey
	}
	return k, nil
}

func (f weierstrass) signer(m material) (signer, error) {
	public, err := f.public(m.Public)
	if err != nil {
		return nil, err
	}
	k := &weierstrassKey{public: public}
	if len(m.Secret) > 0 {
		private, err := x509.ParsePKCS8PrivateKey(m.Secret)
		if err != nil {
			return nil, err
		}
		k.private, _ = private.(*ecdsa.PrivateKey)
	}
	return k, nil
}

type weierstrassKey struct {
	public  *ecdsa.PublicKey
	private *ecdsa.PrivateKey
}

func (k *weierstrassKey) size() int { return (k.public.Curve.Params().BitSize + 7) / 8 }

func (k *weierstrassKey) sign(o signOptions, input []byte) ([]byte, error) {
	if k.private == nil {
		return nil, private("signing")
	}
	_, digest := o.digest(input)
	sig, err := ecdsa.SignASN1(rand.Reader, k.private, digest)
	if err != nil || !o.jws {
		return sig, err
	}
	r, s, ok := split(sig)
	if !ok {
		return nil, fmt.Errorf("a signature of ours is no signature")
	}
	out := make([]byte, 2*k.size())
	r.FillBytes(out[:k.size()])
	s.FillBytes(out[k.size():])
	return out, nil
}

// split reads the two numbers of a signature in ASN.1.
func split(sig []byte) (r, s *big.Int, ok bool) {
	r, s = new(big.Int), new(big.Int)
	input := cryptobyte.String(sig)
	var inner cryptobyte.String
	ok = input.ReadASN1(&inner, asn1.SEQUENCE) && input.Empty() &&
		inner.ReadASN1Integer(r) && inner.ReadASN1Integer(s) && inner.Empty()
	return r, s, ok
}

func (k *weierstrassKey) verify(o signOptions, input, sig []byte) (bool, error) {
	_, digest := o.digest(input)
	if !o.jws {
		if _, _, ok := split(sig); !ok {
			return false, engine.Bad("supplied signature is invalid")
		}
		return ecdsa.VerifyASN1(k.public, digest, sig), nil
	}
	n := k.size()
	if len(sig) != 2*n {
		return false, engine.Bad("supplied signature is invalid: it must have %d bytes", 2*n)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(sig[:n]))
		b.AddASN1BigInt(new(big.Int).SetBytes(sig[n:]))
	})
	der, err := b.Bytes()
	if err != nil {
		return false, fmt.Errorf("encode signature: %w", err)
	}
	return ecdsa.VerifyASN1(k.public, digest, der), nil
}

// edwards is the family of Ed25519 keys. The secret is seed and public key, the
// public half 32 bytes.
type edwards struct{}

func (edwards) generate(int) (material, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	return material{private, public}, err
}

func (edwards) parse(secret []byte) (material, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return material{}, fmt.Errorf("error parsing asymmetric key: %w", err)
	}
	k, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return material{}, errWrongKey
	}
	return material{k, k.Public().(ed25519.PublicKey)}, nil
}

func (edwards) parsePublic(der []byte) (material, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return material{}, fmt.Errorf("error parsing public key: %w", err)
	}
	k, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return material{}, errWrongKey
	}
	return material{Public: k}, nil
}

// derive makes a seed of the secret by HKDF, as symmetric keys do.
func (edwards) derive(m material, context []byte, _ bool) (material, error) {
	seed, err := hkdf.Key(sha256.New, m.Secret, nil, string(context), ed25519.SeedSize)
	if err != nil {
		return material{}, err
	}
	k := ed25519.NewKeyFromSeed(seed)
	return material{k, k.Public().(ed25519.PublicKey)}, nil
}

func (edwards) signer(m material) (signer, error) {
	if len(m.Public) != ed25519.PublicKeySize || len(m.Secret) != 0 && len(m.Secret) != ed25519.PrivateKeySize {
		return nil, errWrongKey
	}
	return edwardsKey{m.Secret, m.Public}, nil
}

type edwardsKey struct {
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

// options choose among plain, ctx and ph. Input that was hashed with anything
// but SHA-512 is signed like any other input, as Vault has always done.
func (edwardsKey) options(o signOptions, input []byte) (*ed25519.Options, error) {
	e := &ed25519.Options{Context: string(o.context)}
	if o.prehashed && o.hash == crypto.SHA512 {
		if len(input) != crypto.SHA512.Size() {
			return nil, engine.Bad("prehashed input must be a SHA-512 hash")
		}
		e.Hash = crypto.SHA512
	}
	return e, nil
}

func (k edwardsKey) sign(o signOptions, input []byte) ([]byte, error) {
	if len(k.private) == 0 {
		return nil, private("signing")
	}
	e, err := k.options(o, input)
	if err != nil {
		return nil, err
	}
	return k.private.Sign(rand.Reader, input, e)
}

func (k edwardsKey) verify(o signOptions, input, sig []byte) (bool, error) {
	e, err := k.options(o, input)
	if err != nil {
		return false, err
	}
	return ed25519.VerifyWithOptions(k.public, input, sig, e) == nil, nil
}
