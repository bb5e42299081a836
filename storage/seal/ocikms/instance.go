package ocikms

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the fingerprint that OCI asks for
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/storage/seal"
)

const metadata = "http://169.254.169.254"

// An instance signs as the machine that the server runs on: the metadata
// service hands out a certificate, which the identity service exchanges for a
// token of a key that is drawn here.
type instance struct {
	http     *http.Client
	metadata string
	auth     string // URL of the identity service; "" finds it by the region
	now      func() time.Time

	id    *identity
	until time.Time
}

func (i *instance) identity(ctx context.Context) (*identity, error) {
	if i.id != nil && i.now().Before(i.until.Add(-5*time.Minute)) {
		return i.id, nil
	}
	id, until, err := i.federate(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign as this instance: %w: does the server run on OCI, in a dynamic group? else set auth_type_api_key", err)
	}
	i.id, i.until = id, until
	return id, nil
}

func (i *instance) federate(ctx context.Context) (*identity, time.Time, error) {
	var texts [3][]byte
	for n, name := range []string{"cert.pem", "key.pem", "intermediate.pem"} {
		var err error
		if texts[n], err = i.read(ctx, "identity/"+name); err != nil {
			return nil, time.Time{}, err
		}
	}
	block, _ := pem.Decode(texts[0])
	middle, _ := pem.Decode(texts[2])
	if block == nil || middle == nil {
		return nil, time.Time{}, errors.New("the instance's metadata holds no certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("read the instance's certificate: %w", err)
	}
	tenancy := tenancyOf(certificate)
	key, err := parseKey(texts[1])
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("the instance's key %w", err)
	}
	session, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, time.Time{}, err
	}
	public, err := x509.MarshalPKIXPublicKey(&session.PublicKey)
	if err != nil {
		return nil, time.Time{}, err
	}
	by := &identity{keyID: tenancy + "/fed-x509/" + fingerprint(block.Bytes), key: key, bare: true}
	token, err := i.exchange(ctx, by, block.Bytes, public, middle.Bytes)
	if err != nil {
		return nil, time.Time{}, err
	}
	return &identity{keyID: "ST$" + token, key: session}, i.end(token), nil
}

func (i *instance) exchange(ctx context.Context, by *identity, certificate, public, middle []byte) (string, error) {
	at := i.auth
	if at == "" {
		region, err := i.read(ctx, "instance/canonicalRegionName")
		if err != nil {
			return "", err
		}
		at = "https://auth." + strings.TrimSpace(string(region)) + ".oraclecloud.com"
	}
	var got struct {
		Token string `json:"token"`
	}
	b64 := base64.StdEncoding.EncodeToString
	err := seal.Ask(ctx, i.http, seal.Call{Method: http.MethodPost, URL: at + "/v1/x509",
		Body: struct {
			Certificate   string   `json:"certificate"`
			PublicKey     string   `json:"publicKey"`
			Intermediates []string `json:"intermediateCertificates"`
		}{b64(certificate), b64(public), []string{b64(middle)}},
		Sign: func(_ context.Context, r *http.Request, body []byte) error { return by.sign(r, body, i.now()) }}, &got)
	if err == nil && got.Token == "" {
		err = errors.New("it answered without one")
	}
	if err != nil {
		return "", fmt.Errorf("ask %s for a token: %w", at, err)
	}
	return got.Token, nil
}

func (i *instance) read(ctx context.Context, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, i.metadata+"/opc/v2/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer Oracle")
	answer, err := i.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("read the instance's metadata: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the instance's metadata: %s has status %d", path, answer.StatusCode)
	}
	return io.ReadAll(io.LimitReader(answer.Body, 64<<10))
}

// tenancyOf reads the tenancy out of the certificate's subject.
func tenancyOf(c *x509.Certificate) string {
	for _, list := range [][]string{c.Subject.OrganizationalUnit, c.Subject.Organization} {
		for _, unit := range list {
			for _, prefix := range []string{"opc-tenant:", "opc-identity:"} {
				if id, ok := strings.CutPrefix(unit, prefix); ok {
					return id
				}
			}
		}
	}
	return ""
}

// fingerprint is SHA-1 in hex with colons.
func fingerprint(der []byte) string {
	sum := sha1.Sum(der) //nolint:gosec // see the import
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// end is when a token ends by its own claim, or in 20 minutes.
func (i *instance) end(token string) time.Time {
	var claims struct {
		Expires int64 `json:"exp"` // seconds since 1970
	}
	parts := strings.Split(token, ".")
	if len(parts) == 3 {
		if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(text, &claims) == nil && claims.Expires > 0 {
			return time.Unix(claims.Expires, 0)
		}
	}
	return i.now().Add(20 * time.Minute)
}
