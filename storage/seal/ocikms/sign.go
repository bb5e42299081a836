package ocikms

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// An identity signs requests as OCI's "Signature version 1" says: an RSA
// signature over the request's target and some headers, the body's hash among
// them.
type identity struct {
	keyID string // tenancy/user/fingerprint, or ST$ and a token
	key   *rsa.PrivateKey
	// bare signs without the host, as the identity service wants it.
	bare bool
}

func (id *identity) identity(context.Context) (*identity, error) { return id, nil }

func (id *identity) sign(r *http.Request, body []byte, now time.Time) error {
	hash := sha256.Sum256(body)
	r.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	r.Header.Set("X-Content-Sha256", base64.StdEncoding.EncodeToString(hash[:]))
	r.Header.Set("Content-Type", "application/json")
	lines := []string{
		"date: " + r.Header.Get("Date"),
		"(request-target): " + strings.ToLower(r.Method) + " " + r.URL.RequestURI(),
		"host: " + r.URL.Host,
		"content-length: " + strconv.Itoa(len(body)),
		"content-type: application/json",
		"x-content-sha256: " + r.Header.Get("X-Content-Sha256"),
	}
	if id.bare {
		lines = append(lines[:2], lines[3:]...)
	}
	names := make([]string, len(lines))
	for i, l := range lines {
		names[i], _, _ = strings.Cut(l, ": ")
	}
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	signature, err := rsa.SignPKCS1v15(rand.Reader, id.key, crypto.SHA256, sum[:])
	if err != nil {
		return fmt.Errorf("sign the request: %w", err)
	}
	r.Header.Set("Authorization", fmt.Sprintf(`Signature version="1",keyId="%s",algorithm="rsa-sha256",headers="%s",signature="%s"`,
		id.keyID, strings.Join(names, " "), base64.StdEncoding.EncodeToString(signature)))
	return nil
}

// readProfile reads one section of OCI's configuration file, in which the first
// lines may stand without a heading.
func readProfile(file, profile string) (*identity, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found, section := map[string]string{}, "DEFAULT"
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if ok && section == profile {
			found[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	for _, need := range []string{"tenancy", "user", "fingerprint", "key_file"} {
		if found[need] == "" {
			return nil, fmt.Errorf("%s is missing", need)
		}
	}
	keyFile := found["key_file"]
	if rest, ok := strings.CutPrefix(keyFile, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		keyFile = filepath.Join(home, rest)
	}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	key, err := parseKey(text)
	if err != nil {
		return nil, fmt.Errorf("key_file %s: %w", keyFile, err)
	}
	return &identity{keyID: found["tenancy"] + "/" + found["user"] + "/" + found["fingerprint"], key: key}, nil
}

func parseKey(text []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("holds no PEM key")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("holds no RSA key, or one with a pass phrase: take one without")
	}
	key, ok := any.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("holds a key that is not RSA")
	}
	return key, nil
}
