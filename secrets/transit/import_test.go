package transit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
	"github.com/fastness-dev/fastness/internal/keywrap"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 4493 and SP 800-38B.
func TestCMACVectors(t *testing.T) {
	message := "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
	for _, c := range []struct {
		key  string
		n    int
		want string
	}{
		{"2b7e151628aed2a6abf7158809cf4f3c", 0, "bb1d6929e95937287fa37d129b756746"},
		{"2b7e151628aed2a6abf7158809cf4f3c", 16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{"2b7e151628aed2a6abf7158809cf4f3c", 40, "dfa66747de9ae63030ca32611497c827"},
		{"2b7e151628aed2a6abf7158809cf4f3c", 64, "51f0bebf7e3b9d92fc49741779363cfe"},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", 0, "d17ddf46adaacde531cac483de7a9367"},
		{"8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b", 64, "a1d5df0eed790f794d77589659f39a11"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 16, "28a7023f452e8f82bd4bf28d8c37c35c"},
		{"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4", 64, "e1992190549f6ed5696a2c056c315410"},
	} {
		got, err := cmacOf(unhex(t, c.key), unhex(t, message)[:c.n])
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%d bytes with a key of %d: %x, %v", c.n, len(c.key)/2, got, err)
		}
	}
}

// wrapped is a secret as import takes it, for a mount's wrapping key.
func wrapped(t *testing.T, m *enginetest.Mount, h crypto.Hash, secret []byte) string {
	t.Helper()
	text, _ := ask(t, m, 200, engine.OpRead, "wrapping_key", "")["public_key"].(string)
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("wrapping_key is %q", text)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	b, err := keywrap.For(parsed.(*rsa.PublicKey), h, secret)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// A key that is imported understands what was made with it elsewhere: the GCM
// test case 16 of McGrew and Viega, as a ciphertext of Vault's.
func TestImport(t *testing.T) {
	m := mounted(t)
	key := unhex(t, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
	made := "cafebabefacedbaddecaf888" + "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
		"76fc6ece0f4e1768cddf8853bb2d551b"
	plain := "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
	for name, h := range map[string]crypto.Hash{"SHA1": crypto.SHA1, "SHA224": crypto.SHA224, "SHA256": crypto.SHA256, "SHA384": crypto.SHA384, "SHA512": crypto.SHA512} {
		ask(t, m, 204, engine.OpWrite, "keys/"+name+"/import", `{"ciphertext":%q,"hash_function":%q}`, wrapped(t, m, h, key), name)
		got := write(t, m, "plaintext", "decrypt/"+name, `{"ciphertext":"vault:v1:%s","associated_data":%q}`,
			base64.StdEncoding.EncodeToString(unhex(t, made)), base64.StdEncoding.EncodeToString(unhex(t, "feedfacedeadbeeffeedfacedeadbeefabaddad2")))
		if got != base64.StdEncoding.EncodeToString(unhex(t, plain)) {
			t.Errorf("%s: decrypted to %q", name, got)
		}
	}
	ask(t, m, 400, engine.OpWrite, "keys/SHA256/rotate", "")
	ask(t, m, 400, engine.OpWrite, "keys/SHA256/import", `{"ciphertext":%q}`, wrapped(t, m, crypto.SHA256, key))
	ask(t, m, 204, engine.OpWrite, "keys/SHA256/import_version", `{"ciphertext":%q}`, wrapped(t, m, crypto.SHA256, key))
	ask(t, m, 400, engine.OpWrite, "keys/SHA256/import_version", `{"ciphertext":%q}`, wrapped(t, m, crypto.SHA256, key[:20]))
	ask(t, m, 400, engine.OpWrite, "keys/x/import", `{"ciphertext":%q}`, wrapped(t, m, crypto.SHA512, key))
	ask(t, m, 400, engine.OpWrite, "keys/x/import", `{"ciphertext":%q,"type":"rsa-2048"}`, wrapped(t, m, crypto.SHA256, key))
}

// A public key alone verifies; its private half may come later.
func TestImportPublic(t *testing.T) {
	m := mounted(t)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mat, err := pkcs8(k, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: mat.Public}))
	ask(t, m, 204, engine.OpWrite, "keys/k/import", `{"public_key":%q,"type":"ecdsa-p256"}`, public)
	ask(t, m, 400, engine.OpWrite, "keys/k2/import", `{"public_key":%q,"type":"ecdsa-p384"}`, public)
	ask(t, m, 400, engine.OpWrite, "sign/k", `{"input":"YQ=="}`)
	ask(t, m, 204, engine.OpWrite, "keys/k/import_version", `{"ciphertext":%q,"version":1}`, wrapped(t, m, crypto.SHA256, mat.Secret))
	sig := write(t, m, "signature", "sign/k", `{"input":"YQ==","marshaling_algorithm":"jws"}`)
	if v := ask(t, m, 200, engine.OpWrite, "verify/k", `{"input":"YQ==","signature":%q,"marshaling_algorithm":"jws"}`, sig); v["valid"] != true {
		t.Error("it does not verify what it signed")
	}
	ask(t, m, 400, engine.OpWrite, "keys/k/import_version", `{"ciphertext":%q,"version":1}`, wrapped(t, m, crypto.SHA256, mat.Secret))
}

// What one server exports for another, that one imports.
func TestBYOK(t *testing.T) {
	from, to := mounted(t), mounted(t)
	public, _ := ask(t, to, 200, engine.OpRead, "wrapping_key", "")["public_key"].(string)
	ask(t, from, 204, engine.OpWrite, "keys/there/import", `{"public_key":%q,"type":"rsa-2048"}`, public)
	for _, kind := range []string{"aes256-gcm96", "chacha20-poly1305", "ed25519", "ecdsa-p384", "rsa-2048", "ml-dsa-65", "ml-kem-768"} {
		ask(t, from, 200, engine.OpWrite, "keys/"+kind, `{"type":%q,"exportable":true}`, kind)
		keys, _ := ask(t, from, 200, engine.OpRead, "byok-export/there/"+kind, "")["keys"].(map[string]any)
		ask(t, to, 204, engine.OpWrite, "keys/"+kind+"/import", `{"ciphertext":%q,"type":%q}`, keys["1"], kind)
		if kindOf(kind).signs {
			sig := write(t, from, "signature", "sign/"+kind, `{"input":"YQ=="}`)
			if v := ask(t, to, 200, engine.OpWrite, "verify/"+kind, `{"input":"YQ==","signature":%q}`, sig); v["valid"] != true {
				t.Errorf("%s: the signature of one is not valid to the other", kind)
			}
			continue
		}
		c := write(t, from, "ciphertext", "encrypt/"+kind, `{"plaintext":"YQ=="}`)
		if p := write(t, to, "plaintext", "decrypt/"+kind, `{"ciphertext":%q}`, c); p != "YQ==" {
			t.Errorf("%s: decrypted to %q", kind, p)
		}
	}
	ask(t, from, 200, engine.OpWrite, "keys/closed", "")
	ask(t, from, 400, engine.OpRead, "byok-export/there/closed", "")
	ask(t, from, 400, engine.OpRead, "byok-export/ed25519/aes256-gcm96", "")
}

// A convergent ciphertext is Vault's third version: HKDF of the context gives a
// key for encryption and one for nonces. What is expected was computed by other
// software.
func TestConvergentFormat(t *testing.T) {
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	for _, c := range []struct {
		size int
		want string
	}{
		{32, "9944a0becf0d1cec6316c12971b05814deaedd695a7f2cd695adcb409aa4d7251083cc0dee227d"},
		{16, "89888b8dc94f3a9ed8be7aa07b587710ca840cb06af39b669efbdb7fbe1056f831e67fd5b05515"},
	} {
		f := symmetric{size: c.size, aead: newGCM}
		m, err := f.derive(material{Secret: key[:c.size]}, []byte("context"), true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := convergentOf(f, m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.seal(sealOptions{}, []byte("hello world")); err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%d bytes: %x, %v", c.size, got, err)
		}
	}
}
