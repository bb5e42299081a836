package cli

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"github.com/fastness-dev/fastness/client"
)

// operator init, unseal, seal, rotate, key-status, step-down.

func bindInit(f *flags) action {
	var (
		status    = f.toggle("status", false, "Only tell whether the server is initialised: 0 yes, 2 no.")
		shares    = f.number("key-shares", 5, "How many unseal keys to make.")
		threshold = f.number("key-threshold", 3, "How many of them unseal.")
		pgp       = f.list("pgp-keys", "`Files` of PGP keys, one for each unseal key, to encrypt them to.")
		rootPGP   = f.text("root-token-pgp-key", "", "`File` of the PGP key to encrypt the root token to.")
		rShares   = f.number("recovery-shares", 5, "How many recovery keys to make, where the seal opens by itself.")
		rNeeded   = f.number("recovery-threshold", 3, "How many of them are a quorum.")
		rPGP      = f.list("recovery-pgp-keys", "`Files` of PGP keys, one for each recovery key.")
	)
	f.number("stored-shares", 0, "Accepted and not used.")
	f.set.IntVar(shares, "n", 5, "Short for -key-shares.")
	f.set.IntVar(threshold, "t", 3, "Short for -key-threshold.")
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		if *status {
			return c.initStatus(cl)
		}
		o := object{}
		if s, err := sealStatus(c, live(cl)); err == nil && s["recovery_seal"] == true {
			keys, err := pgpKeys(*rPGP)
			if err != nil {
				return err
			}
			o["recovery_shares"], o["recovery_threshold"], o["recovery_pgp_keys"] = *rShares, *rNeeded, someOrNil(keys, len(keys))
		} else {
			o["secret_shares"], o["secret_threshold"] = *shares, *threshold
		}
		keys, err := pgpKeys(*pgp)
		if err != nil {
			return err
		}
		o["pgp_keys"] = someOrNil(keys, len(keys))
		if *rootPGP != "" {
			one, err := pgpKeys([]string{*rootPGP})
			if err != nil {
				return err
			}
			o["root_token_pgp_key"] = one[0]
		}
		var got initAnswer
		if err := cl.JSON(c.ctx, client.Request{Method: http.MethodPut, Path: "sys/init", Body: body(o), NoToken: true}, &got); err != nil {
			return remote("Error initializing: %w", err)
		}
		if len(got.KeysB64) > 0 {
			got.shares, got.threshold = *shares, *threshold
		}
		if len(got.RecoveryB64) > 0 {
			got.rShares, got.rThreshold = *rShares, *rNeeded
		}
		return c.showInit(got)
	}
}

func (c *call) initStatus(cl *client.Client) error {
	var s object
	if err := cl.JSON(c.ctx, client.Request{Method: http.MethodGet, Path: "sys/init", NoToken: true}, &s); err != nil {
		return local("Error checking initialization status: %w", err)
	}
	done := s["initialized"] == true
	switch {
	case !c.ui.isTable():
		if err := c.ui.structured(object{"Initialized": done}); err != nil {
			return err
		}
	case done:
		c.ui.out("Vault is initialized")
	default:
		c.ui.out("Vault is not initialized")
	}
	if !done {
		return silent(exitServer)
	}
	return nil
}

type initAnswer struct {
	Keys        []string `json:"keys"`
	KeysB64     []string `json:"keys_base64"`
	Recovery    []string `json:"recovery_keys"`
	RecoveryB64 []string `json:"recovery_keys_base64"`
	RootToken   string   `json:"root_token"`
	shares      int
	threshold   int
	rShares     int
	rThreshold  int
}

func (c *call) showInit(a initAnswer) error {
	if !c.ui.isTable() {
		return c.ui.structured(struct {
			KeysB64     []string `json:"unseal_keys_b64"`
			KeysHex     []string `json:"unseal_keys_hex"`
			Shares      int      `json:"unseal_shares"`
			Threshold   int      `json:"unseal_threshold"`
			RecoveryB64 []string `json:"recovery_keys_b64"`
			RecoveryHex []string `json:"recovery_keys_hex"`
			RShares     int      `json:"recovery_keys_shares"`
			RThreshold  int      `json:"recovery_keys_threshold"`
			RootToken   string   `json:"root_token"`
		}{a.KeysB64, a.Keys, a.shares, a.threshold, full(a.RecoveryB64), full(a.Recovery),
			a.rShares, a.rThreshold, a.RootToken})
	}
	for i, k := range a.KeysB64 {
		c.ui.out(fmt.Sprintf("Unseal Key %d: %s", i+1, k))
	}
	for i, k := range a.RecoveryB64 {
		c.ui.out(fmt.Sprintf("Recovery Key %d: %s", i+1, k))
	}
	c.ui.out("\nInitial Root Token: " + a.RootToken + "\n")
	if len(a.KeysB64) == 0 {
		c.ui.out("Success! Vault is initialized\n\nThe seal opens by itself. Hand out the recovery keys: a quorum of them\nmakes root tokens and new keys, and opens the data if the seal is ever gone.")
		return nil
	}
	c.ui.out(fmt.Sprintf(`Vault initialized with %d key shares and a key threshold of %d. Give each key to
somebody else and keep none of them together: whenever the server starts or is
sealed, %d of these keys are needed before it can serve requests.

Nothing else can rebuild the root key. If fewer than %d keys are left, what is
stored can never be read again.

New keys can be made from a quorum of these. See "%s operator rekey".`,
		a.shares, a.threshold, a.threshold, a.threshold, c.ui.program))
	return nil
}

// full is a list that JSON shows as [] when it is empty.
func full(l []string) []string {
	if l == nil {
		return []string{}
	}
	return l
}

// pgpKeys reads key files (binary, armored, or base64 already) as the base64
// that the wire takes. A leading @ is allowed.
func pgpKeys(flags []string) ([]string, error) {
	var keys []string
	for _, name := range split(flags) {
		if strings.HasPrefix(name, "keybase:") {
			return nil, local("PGP key %s: keys are read from files only; export this one to a file", name)
		}
		b, err := os.ReadFile(strings.TrimPrefix(name, "@"))
		if err != nil {
			return nil, local("read PGP key: %w", err)
		}
		text := strings.TrimSpace(string(b))
		if strings.HasPrefix(text, "-----BEGIN PGP") {
			block, err := armor.Decode(strings.NewReader(text))
			if err == nil {
				b, err = io.ReadAll(block.Body)
			}
			if err != nil {
				return nil, local("PGP key %s: %w", name, err)
			}
		} else if _, err := base64.StdEncoding.DecodeString(text); err == nil {
			keys = append(keys, text)
			continue
		}
		keys = append(keys, base64.StdEncoding.EncodeToString(b))
	}
	return keys, nil
}

func bindUnseal(f *flags) action {
	reset := f.toggle("reset", false, "Forget the keys given so far.")
	migrate := f.toggle("migrate", false, "Take part in moving to another seal.")
	return func(c *call) error {
		cl, err := c.clientFor(0, 1)
		if err != nil {
			return err
		}
		o := object{"reset": orNil(*reset), "migrate": orNil(*migrate)}
		if !*reset {
			key := c.arg(0)
			if key == "" || key == "-" {
				if key, err = c.secret("Unseal Key (will be hidden): "); err != nil {
					return err
				}
			}
			o["key"] = key
		}
		var s object
		if err := cl.JSON(c.ctx, client.Request{Method: http.MethodPut, Path: "sys/unseal", Body: body(o), NoToken: true}, &s); err != nil {
			return remote("Error unsealing: %w", err)
		}
		return c.showStatus(cl, s)
	}
}

// bindPlainPut is a command that sends nothing and is told nothing.
func bindPlainPut(path, failed, done string) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		if _, err := put(c, cl, path, nil); err != nil {
			return remote(failed, err)
		}
		c.ui.success("%s", done)
		return nil
	}
}

func bindSeal(*flags) action {
	return bindPlainPut("sys/seal", "Error sealing: %w", "Success! Vault is sealed.")
}

func bindStepDown(*flags) action {
	return bindPlainPut("sys/step-down", "Error stepping down: %w", "Success! Stepped down")
}

func bindRotate(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		if _, err := put(c, cl, "sys/rotate", nil); err != nil {
			return remote("Error rotating key: %w", err)
		}
		c.ui.success("Success! Rotated key\n")
		return c.keyStatus(cl)
	}
}

func bindKeyStatus(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		return c.keyStatus(cl)
	}
}

func (c *call) keyStatus(cl *client.Client) error {
	a, err := cl.Read(c.ctx, "sys/key-status", nil)
	if err != nil {
		return remote("Error reading key status: %w", err)
	}
	d := dataOf(a)
	if !c.ui.isTable() {
		return c.ui.structured(d)
	}
	c.ui.columns([][]string{
		{"Key Term", d.text("term")}, {"Install Time", humanTime(d.text("install_time"))}, {"Encryption Count", d.text("encryptions")},
	})
	return nil
}
