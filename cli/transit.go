package cli

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/fastness-dev/fastness/internal/keywrap"
)

func bindTransitImport(*flags) action {
	return func(c *call) error { return c.importKey("import") }
}

func bindTransitImportVersion(*flags) action {
	return func(c *call) error { return c.importKey("import_version") }
}

// importKey wraps a key for a transit mount and sends it.
func (c *call) importKey(how string) error {
	if err := c.want(2, -1); err != nil {
		return err
	}
	mount, name, ok := cutKeyPath(c.path(0))
	if !ok {
		return local("Expected a path of the form MOUNT/keys/NAME, got %q", c.path(0))
	}
	secret, err := readSecretKey(c.arg(1))
	if err != nil {
		return local("Error reading the key: %w", err)
	}
	data, err := c.payload(2)
	if err != nil {
		return err
	}
	hash, _ := data["hash_function"].(string)
	h, ok := keywrap.Hash(hash)
	if !ok {
		return local("Unknown hash function: %s", hash)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	c.ui.out("Retrieving wrapping key.")
	a, err := cl.Read(c.ctx, mount+"wrapping_key", nil)
	if err != nil {
		return remote("Failed to fetch the wrapping key: %w", err)
	}
	to, err := publicKeyOf(dataOf(a).text("public_key"))
	if err != nil {
		return remote("Failed to read the wrapping key: %w", err)
	}
	c.ui.out("Wrapping source key with ephemeral key.")
	wrapped, err := wrapSecret(to, h, secret)
	if err != nil {
		return local("Failed to wrap the key: %w", err)
	}
	data["ciphertext"] = base64.StdEncoding.EncodeToString(wrapped)
	c.ui.out("Submitting wrapped key.")
	if _, err := cl.Write(c.ctx, mount+"keys/"+name+"/"+how, body(data)); err != nil {
		return remote("Failed to import the key: %w", err)
	}
	c.ui.out("Success!")
	return nil
}

func wrapSecret(to *rsa.PublicKey, h crypto.Hash, secret []byte) ([]byte, error) {
	return keywrap.For(to, h, secret)
}

// cutKeyPath is the mount and the name of MOUNT/keys/NAME.
func cutKeyPath(path string) (mount, name string, ok bool) {
	i := strings.LastIndex(path, "/")
	if i < 0 || i == len(path)-1 {
		return "", "", false
	}
	mount, ok = strings.CutSuffix(path[:i], "keys")
	return mount, path[i+1:], ok && strings.HasSuffix(mount, "/")
}

// readSecretKey reads what is imported: base64, or a file of that or of PEM.
func readSecretKey(arg string) ([]byte, error) {
	text := []byte(arg)
	if name, ok := strings.CutPrefix(arg, "@"); ok {
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	if block, _ := pem.Decode(text); block != nil {
		return block.Bytes, nil
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, errors.New("it is neither base64 nor PEM")
	}
	return b, nil
}

func publicKeyOf(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is not in PEM")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("it is a %T", parsed)
	}
	return k, nil
}
