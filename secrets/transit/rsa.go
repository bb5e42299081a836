package transit

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/fastness-dev/fastness/engine"
)

// rivest is the family of RSA keys with a length in bits.
type rivest struct{ bits int }

func (f rivest) generate(int) (material, error) {
	k, err := rsa.GenerateKey(rand.Reader, f.bits)
	if err != nil {
		return material{}, err
	}
	return pkcs8(k, k.Public())
}

// pkcs8 encodes a private key and its public half.
func pkcs8(private crypto.PrivateKey, public crypto.PublicKey) (m material, err error) {
	if m.Secret, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return m, err
	}
	m.Public, err = x509.MarshalPKIXPublicKey(public)
	return m, err
}

var errWrongKey = errors.New("the key is not of the type")

func (f rivest) parse(secret []byte) (material, error) {
	parsed, err := parsePrivate(secret)
	if err != nil {
		return material{}, err
	}
	k, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return material{}, errWrongKey
	}
	if k.N.BitLen() != f.bits {
		return material{}, fmt.Errorf("invalid key size: expected %d bits, got %d bits", f.bits, k.N.BitLen())
	}
	return pkcs8(k, k.Public())
}

// parsePrivate reads a private key that was imported: PKCS#8, or PKCS#1.
func parsePrivate(der []byte) (any, error) {
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err == nil {
		return k, nil
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return nil, fmt.Errorf("error parsing asymmetric key: %w", err)
}

func (f rivest) parsePublic(der []byte) (material, error) {
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return material{}, fmt.Errorf("error parsing public key: %w", err)
	}
	k, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return material{}, errWrongKey
	}
	if k.N.BitLen() != f.bits {
		return material{}, fmt.Errorf("invalid key size: expected %d bits, got %d bits", f.bits, k.N.BitLen())
	}
	return material{Public: der}, nil
}

func (f rivest) sealer(m material) (sealer, error) { return f.open(m) }

func (f rivest) signer(m material) (signer, error) { return f.open(m) }

func (rivest) open(m material) (*rivestKey, error) {
	public, err := x509.ParsePKIXPublicKey(m.Public)
	if err != nil {
		return nil, err
	}
	k := &rivestKey{}
	k.public, _ = public.(*rsa.PublicKey)
	if k.public == nil {
		return nil, errWrongKey
	}
	if len(m.Secret) > 0 {
		private, err := x509.ParsePKCS8PrivateKey(m.Secret)
		if err != nil {
			return nil, err
		}
		k.private, _ = private.(*rsa.PrivateKey)
	}
	return k, nil
}

// A rivestKey encrypts with OAEP over SHA-256, and signs.
type rivestKey struct {
	public  *rsa.PublicKey
	private *rsa.PrivateKey // nil if only the public half is known
}

var errAssociated = "associated data is not supported for RSA keys"

func (k *rivestKey) seal(o sealOptions, plaintext []byte) ([]byte, error) {
	if len(o.data) > 0 {
		return nil, engine.Bad("%s", errAssociated)
	}
	var b []byte
	var err error
	if o.pkcs1 {
		b, err = rsa.EncryptPKCS1v15(rand.Reader, k.public, plaintext) //nolint:staticcheck // the caller chose it
	} else {
		b, err = rsa.EncryptOAEP(sha256.New(), rand.Reader, k.public, plaintext, nil)
	}
	if err != nil {
		return nil, engine.Bad("failed to RSA encrypt the plaintext: %s", err)
	}
	return b, nil
}

func (k *rivestKey) open(o sealOptions, ciphertext []byte) ([]byte, error) {
	if k.private == nil {
		return nil, private("decryption")
	}
	if len(o.data) > 0 {
		return nil, engine.Bad("%s", errAssociated)
	}
	var b []byte
	var err error
	if o.pkcs1 {
		b, err = rsa.DecryptPKCS1v15(nil, k.private, ciphertext) //nolint:staticcheck // the caller chose it
	} else {
		b, err = rsa.DecryptOAEP(sha256.New(), nil, k.private, ciphertext, nil)
	}
	if err != nil {
		return nil, engine.Bad("failed to RSA decrypt the ciphertext: %s", err)
	}
	return b, nil
}

func (k *rivestKey) sign(o signOptions, input []byte) ([]byte, error) {
	if k.private == nil {
		return nil, private("signing")
	}
	hash, digest := o.digest(input)
	var b []byte
	var err error
	switch o.scheme {
	case "", "pss":
		if err = o.pssFits(k.public); err != nil {
			return nil, err
		}
		b, err = rsa.SignPSS(rand.Reader, k.private, hash, digest, &rsa.PSSOptions{SaltLength: o.salt})
	case "pkcs1v15":
		b, err = rsa.SignPKCS1v15(nil, k.private, hash, digest)
	default:
		return nil, engine.Bad("unsupported rsa signature algorithm %s", o.scheme)
	}
	if err != nil {
		return nil, engine.Bad("%s", err)
	}
	return b, nil
}

// pssFits refuses what crypto/rsa may not be asked: a digest of another hash, or
// a salt that the key has no room for.
func (o *signOptions) pssFits(k *rsa.PublicKey) error {
	if room := k.Size() - 2 - o.hash.Size(); o.salt > room {
		return engine.Bad("salt length %d is more than the %d bytes that the key has room for", o.salt, room)
	}
	return nil
}

func (k *rivestKey) verify(o signOptions, input, sig []byte) (bool, error) {
	hash, digest := o.digest(input)
	if o.prehashed && hash != 0 && len(digest) != hash.Size() {
		return false, engine.Bad("crypto/rsa: input must be hashed message")
	}
	switch o.scheme {
	case "", "pss":
		if err := o.pssFits(k.public); err != nil {
			return false, err
		}
		return rsa.VerifyPSS(k.public, hash, digest, sig, &rsa.PSSOptions{SaltLength: o.salt}) == nil, nil
	case "pkcs1v15":
		return rsa.VerifyPKCS1v15(k.public, hash, digest, sig) == nil, nil
	}
	return false, engine.Bad("unsupported rsa signature algorithm %s", o.scheme)
}
