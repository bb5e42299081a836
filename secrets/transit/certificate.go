package transit

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/fastness-dev/fastness/engine"
)

func certificateRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Compute("keys/{name}/csr", (*Engine).csr).Doc("Make a request for a certificate of a key."),
		engine.Write("keys/{name}/set-certificate", (*Engine).setCertificate).Doc("Keep the certificates of a key with it."),
	}
}

type csrRequest struct {
	Name    string `path:"name"`
	Version int    `json:"version" doc:"Version of the key; 0 is the latest."`
	CSR     string `json:"csr" doc:"A request in PEM whose subject and extensions are taken."`
}

type csrAnswer struct {
	Name string `json:"name"`
	Type string `json:"type"`
	CSR  string `json:"csr"`
}

// standard is a version's private key as crypto/x509 knows it.
func (k *key) standard(e *version) (crypto.Signer, error) {
	if k.Derived {
		return nil, engine.Bad("a derived key has no certificate")
	}
	if len(e.Secret) == 0 {
		return nil, private("signing")
	}
	switch k.kind().family.(type) {
	case edwards:
		return ed25519.PrivateKey(e.Secret), nil
	case weierstrass, rivest:
		parsed, err := x509.ParsePKCS8PrivateKey(e.Secret)
		if err != nil {
			return nil, fmt.Errorf("decode private key: %w", err)
		}
		if s, ok := parsed.(crypto.Signer); ok {
			return s, nil
		}
	}
	return nil, engine.Bad("key type %s does not support CSRs", k.Type)
}

func (*Engine) csr(v engine.View, req csrRequest) (*csrAnswer, error) {
	k, err := find(v, req.Name, "key with provided name '"+req.Name+"' not found")
	if err != nil {
		return nil, err
	}
	if !k.kind().signs {
		return nil, engine.Bad("key type %s does not support signing", k.Type)
	}
	n, err := k.toUse(req.Version, "signing")
	if err != nil {
		return nil, err
	}
	e, err := k.version(v, n)
	if err != nil {
		return nil, err
	}
	s, err := k.standard(e)
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{}
	if req.CSR != "" {
		if template, err = csrTemplate(req.CSR); err != nil {
			return nil, err
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, s)
	if err != nil {
		return nil, engine.Bad("csr: %s", err)
	}
	return &csrAnswer{req.Name, k.Type, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))}, nil
}

// csrTemplate is what is taken of a request that another key signed.
func csrTemplate(text string) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, engine.Bad("csr is not in PEM")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, engine.Bad("csr: %s", err)
	}
	return &x509.CertificateRequest{RawSubject: r.RawSubject, Subject: r.Subject, ExtraExtensions: r.Extensions}, nil
}

type certificateRequest struct {
	Name    string `path:"name"`
	Version int    `json:"version" doc:"Version of the key; 0 is the latest."`
	Chain   string `json:"certificate_chain" required:"true" doc:"Certificates in PEM, that of the key first."`
}

func (*Engine) setCertificate(tx engine.Tx, req certificateRequest) (engine.None, error) {
	k, err := find(tx, req.Name, "key with provided name '"+req.Name+"' not found")
	if err != nil {
		return engine.None{}, err
	}
	chain, err := parseChain(req.Chain)
	if err != nil {
		return engine.None{}, err
	}
	n, err := k.toUse(req.Version, "certificates")
	if err != nil {
		return engine.None{}, err
	}
	e, err := k.version(tx, n)
	if err != nil {
		return engine.None{}, err
	}
	public, err := k.publicDER(e)
	if err != nil {
		return engine.None{}, err
	}
	if !bytes.Equal(public, chain[0].RawSubjectPublicKeyInfo) {
		return engine.None{}, engine.Bad("the certificate's public key is not that of version %d of the key", n)
	}
	set := &version{Created: e.Created, Secret: e.Secret, Public: e.Public, HMAC: e.HMAC, Worn: e.Worn}
	for _, c := range chain {
		set.Chain = append(set.Chain, c.Raw)
	}
	return engine.None{}, k.putVersion(tx, n, set)
}

func (k *key) publicDER(e *version) ([]byte, error) {
	switch k.kind().family.(type) {
	case weierstrass, rivest:
		return e.Public, nil
	case edwards:
		if !k.Derived {
			return x509.MarshalPKIXPublicKey(ed25519.PublicKey(e.Public))
		}
	}
	return nil, engine.Bad("key type %s has no certificates", k.Type)
}

// parseChain reads certificates, each signed by the next.
func parseChain(text string) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, engine.Bad("certificate_chain: %s", err)
		}
		if n := len(chain); n > 0 {
			if err := chain[n-1].CheckSignatureFrom(c); err != nil {
				return nil, engine.Bad("certificate_chain: certificate %d did not sign the one before: %s", n, err)
			}
		}
		chain = append(chain, c)
	}
	switch {
	case len(chain) == 0:
		return nil, engine.Bad("certificate_chain has no certificate in PEM")
	case chain[0].IsCA:
		return nil, engine.Bad("certificate_chain must begin with the certificate of the key, which is none of an authority")
	}
	return chain, nil
}
