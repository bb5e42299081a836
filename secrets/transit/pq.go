package transit

import (
	"crypto/hpke"
	"crypto/rand"
	"fmt"

	"filippo.io/mldsa"

	"github.com/fastness-dev/fastness/engine"
)

// lattice is the family of ML-DSA keys of a parameter set. The secret is the
// seed.
type lattice struct{ set mldsa.Parameters }

func (f lattice) generate(int) (material, error) {
	k, err := mldsa.GenerateKey(f.set)
	if err != nil {
		return material{}, err
	}
	return material{k.Bytes(), k.PublicKey().Bytes()}, nil
}

func (f lattice) parse(secret []byte) (material, error) {
	if len(secret) != mldsa.PrivateKeySize {
		return material{}, errSize(len(secret))
	}
	k, err := mldsa.NewPrivateKey(f.set, secret)
	if err != nil {
		return material{}, err
	}
	return material{secret, k.PublicKey().Bytes()}, nil
}

func (f lattice) signer(m material) (signer, error) {
	public, err := mldsa.NewPublicKey(f.set, m.Public)
	if err != nil {
		return nil, err
	}
	k := latticeKey{public: public}
	if len(m.Secret) > 0 {
		k.private, err = mldsa.NewPrivateKey(f.set, m.Secret)
	}
	return k, err
}

type latticeKey struct {
	public  *mldsa.PublicKey
	private *mldsa.PrivateKey
}

func (k latticeKey) sign(o signOptions, input []byte) ([]byte, error) {
	if k.private == nil {
		return nil, private("signing")
	}
	return k.private.Sign(rand.Reader, input, &mldsa.Options{Context: string(o.context)})
}

func (k latticeKey) verify(o signOptions, input, sig []byte) (bool, error) {
	return mldsa.Verify(k.public, input, sig, &mldsa.Options{Context: string(o.context)}) == nil, nil
}

// pairable is what stands beside an ML-DSA key in a hybrid.
type pairable interface {
	family
	signing
}

// pair is the family of hybrids: both sign, and both signatures must be good.
// Material and signatures are the ML-DSA one, whose length is known, and the
// other behind it.
type pair struct {
	first  lattice
	second pairable
}

func (f pair) generate(size int) (material, error) {
	a, err := f.first.generate(size)
	if err != nil {
		return material{}, err
	}
	b, err := f.second.generate(size)
	return material{append(a.Secret, b.Secret...), append(a.Public, b.Public...)}, err
}

func (pair) parse([]byte) (material, error) {
	return material{}, fmt.Errorf("hybrid keys cannot be imported")
}

func (f pair) signer(m material) (signer, error) {
	n := f.first.set.PublicKeySize()
	if len(m.Secret) < mldsa.PrivateKeySize || len(m.Public) < n {
		return nil, errWrongKey
	}
	a, err := f.first.signer(material{m.Secret[:mldsa.PrivateKeySize], m.Public[:n]})
	if err != nil {
		return nil, err
	}
	b, err := f.second.signer(material{m.Secret[mldsa.PrivateKeySize:], m.Public[n:]})
	return pairKey{a, b, f.first.set.SignatureSize()}, err
}

type pairKey struct {
	first, second signer
	cut           int // length of the first signature
}

func (k pairKey) sign(o signOptions, input []byte) ([]byte, error) {
	a, err := k.first.sign(o, input)
	if err != nil {
		return nil, err
	}
	b, err := k.second.sign(o, input)
	return append(a, b...), err
}

func (k pairKey) verify(o signOptions, input, sig []byte) (bool, error) {
	if len(sig) <= k.cut {
		return false, nil
	}
	a, err := k.first.verify(o, input, sig[:k.cut])
	if err != nil {
		return false, err
	}
	b, err := k.second.verify(o, input, sig[k.cut:])
	return a && b, err
}

// capsule is the family of keys for encapsulation, with HPKE (RFC 9180) around
// it: what is encrypted is HKDF-SHA256 and AES-256-GCM's, and associated data
// its info.
type capsule struct{ kem hpke.KEM }

func kemKinds() []kind {
	var list []kind
	for _, k := range []struct {
		name string
		kem  hpke.KEM
	}{
		{"ml-kem-768", hpke.MLKEM768()}, {"ml-kem-1024", hpke.MLKEM1024()},
		{"hybrid-ml-kem-768-x25519", hpke.MLKEM768X25519()}, {"hybrid-ml-kem-768-ecdh-p256", hpke.MLKEM768P256()},
		{"hybrid-ml-kem-1024-ecdh-p384", hpke.MLKEM1024P384()},
	} {
		list = append(list, kind{name: k.name, encrypts: true, public: true, family: capsule{k.kem}})
	}
	return list
}

func (f capsule) generate(int) (material, error) {
	k, err := f.kem.GenerateKey()
	if err != nil {
		return material{}, err
	}
	secret, err := k.Bytes()
	return material{secret, k.PublicKey().Bytes()}, err
}

func (f capsule) parse(secret []byte) (material, error) {
	k, err := f.kem.NewPrivateKey(secret)
	if err != nil {
		return material{}, err
	}
	return material{secret, k.PublicKey().Bytes()}, nil
}

func (f capsule) sealer(m material) (sealer, error) {
	public, err := f.kem.NewPublicKey(m.Public)
	if err != nil {
		return nil, err
	}
	private, err := f.kem.NewPrivateKey(m.Secret)
	return capsuleKey{public, private}, err
}

type capsuleKey struct {
	public  hpke.PublicKey
	private hpke.PrivateKey
}

func (k capsuleKey) seal(o sealOptions, plaintext []byte) ([]byte, error) {
	return hpke.Seal(k.public, hpke.HKDFSHA256(), hpke.AES256GCM(), o.data, plaintext)
}

func (k capsuleKey) open(o sealOptions, ciphertext []byte) ([]byte, error) {
	b, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.AES256GCM(), o.data, ciphertext)
	if err != nil {
		return nil, engine.Bad("cipher: message authentication failed")
	}
	return b, nil
}
