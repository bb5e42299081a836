package cli

import (
	"fmt"
	"net/http"

	"github.com/fastness-dev/fastness/client"
)

// operator rekey: several people give one key each to one attempt, known by its
// nonce; with -verify the new keys are given once more before they count.

type rekeyFlags struct {
	start, cancel, status, verify, backup, retrieve, erase *bool
	shares, threshold                                      *int
	nonce, target                                          *string
	pgp                                                    *[]string
}

func bindRekey(f *flags) action {
	r := rekeyFlags{
		start:     f.toggle("init", false, "Start an attempt."),
		cancel:    f.toggle("cancel", false, "Drop the attempt."),
		status:    f.toggle("status", false, "Show the attempt."),
		verify:    f.toggle("verify", false, "With -init: new keys must be verified. Alone: give a new key to verify, or act on the verification."),
		backup:    f.toggle("backup", false, "With -pgp-keys: let the server keep a copy of the encrypted keys."),
		retrieve:  f.toggle("backup-retrieve", false, "Print the copy that the server keeps."),
		erase:     f.toggle("backup-delete", false, "Delete the copy that the server keeps."),
		shares:    f.number("key-shares", 5, "How many keys to make."),
		threshold: f.number("key-threshold", 3, "How many of them are a quorum."),
		nonce:     f.text("nonce", "", "`Nonce` of the attempt, when the key is an argument."),
		target:    f.text("target", "barrier", "barrier for unseal keys, recovery for recovery keys."),
		pgp:       f.list("pgp-keys", "`Files` of PGP keys, one for each new key, to encrypt them to."),
	}
	f.set.IntVar(r.shares, "n", 5, "Short for -key-shares.")
	f.set.IntVar(r.threshold, "t", 3, "Short for -key-threshold.")
	return func(c *call) error {
		if err := c.want(0, 1); err != nil {
			return err
		}
		base := map[string]string{"barrier": "sys/rekey/", "recovery": "sys/rekey-recovery-key/", "hsm": "sys/rekey-recovery-key/"}[*r.target]
		if base == "" {
			return local("Unknown target: %s", *r.target)
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		return c.rekey(cl, base, r)
	}
}

func (c *call) rekey(cl *client.Client, base string, r rekeyFlags) error {
	attempt, backup := base+"init", base+"backup"
	if base != "sys/rekey/" {
		backup = "sys/rekey/recovery-key-backup"
	}
	if *r.verify && !*r.start {
		attempt = base + "verify"
	}
	switch {
	case *r.erase:
		if _, err := cl.Delete(c.ctx, backup, nil); err != nil {
			return remote("Error deleting backup keys: %w", err)
		}
		c.ui.success("Success! Delete backup keys (if they existed)")
		return nil
	case *r.retrieve:
		a, err := cl.Read(c.ctx, backup, nil)
		if err == nil && a == nil {
			return remote("Backup keys not found")
		}
		if err != nil {
			return remote("Error retrieving backup keys: %w", err)
		}
		return c.ui.secret(a)
	case *r.cancel:
		if _, err := cl.Delete(c.ctx, attempt, nil); err != nil {
			return remote("Error canceling rekey: %w", err)
		}
		c.ui.success("Success! Canceled rekeying (if it was started)")
		return nil
	case *r.status:
		s, err := c.attempt(cl, attempt)
		if err != nil {
			return remote("Error reading rekey status: %w", err)
		}
		return c.showRekey(s)
	case *r.start:
		return c.startRekey(cl, attempt, r)
	}
	return c.giveRekey(cl, base, attempt, r)
}

// attempt reads the state of an attempt; some servers put it in an envelope.
func (c *call) attempt(cl *client.Client, path string) (object, error) {
	return c.flat(cl, http.MethodGet, path, nil)
}

func (c *call) flat(cl *client.Client, method, path string, o object) (object, error) {
	q := client.Request{Method: method, Path: path}
	if o != nil {
		q.Body = body(o)
	}
	var s object
	if err := cl.JSON(c.ctx, q, &s); err != nil {
		return nil, err
	}
	if d := s.member("data"); d != nil && s["nonce"] == nil && s["started"] == nil && s["complete"] == nil {
		return d, nil
	}
	return s, nil
}

func (c *call) startRekey(cl *client.Client, path string, r rekeyFlags) error {
	keys, err := pgpKeys(*r.pgp)
	if err != nil {
		return err
	}
	s, err := c.flat(cl, http.MethodPut, path, object{
		"secret_shares": *r.shares, "secret_threshold": *r.threshold, "pgp_keys": someOrNil(keys, len(keys)),
		"backup": orNil(*r.backup), "require_verification": orNil(*r.verify),
	})
	if err != nil {
		return remote("Error initializing rekey: %w", err)
	}
	if len(keys) == 0 {
		c.ui.warn(wrapText("", "", "WARNING! The new keys will be shown to whoever completes this attempt. "+
			"Cancel it and start again with -pgp-keys to have each encrypted to its holder.", 78) + "\n")
	}
	return c.showRekey(s)
}

func (c *call) giveRekey(cl *client.Client, base, attempt string, r rekeyFlags) error {
	key, nonce, err := c.keyAndNonce(cl, attempt, *r.nonce, "Rekey")
	if err != nil {
		return err
	}
	path := base + "update"
	if *r.verify {
		path = base + "verify"
	}
	s, err := c.flat(cl, http.MethodPut, path, object{"key": key, "nonce": nonce})
	if err != nil {
		return remote("Error posting unseal key: %w", err)
	}
	if s["complete"] != true {
		s, err := c.attempt(cl, attempt)
		if err != nil {
			return remote("Error reading rekey status: %w", err)
		}
		return c.showRekey(s)
	}
	if *r.verify {
		c.ui.success("Success! Rekey verification completed: the new keys are in force.")
		return nil
	}
	return c.showNewKeys(s)
}

// keyAndNonce takes the key as an argument, which needs -nonce, or asks for it.
func (c *call) keyAndNonce(cl *client.Client, attempt, nonce, what string) (string, string, error) {
	if k := c.arg(0); k != "" && k != "-" {
		if nonce == "" {
			return "", "", local("Missing nonce value: must be provided with -nonce when the key is an argument")
		}
		return k, nonce, nil
	}
	s, err := c.attempt(live(cl), attempt)
	if err != nil {
		return "", "", remote("Error reading the state of the attempt: %w", err)
	}
	if s["started"] == false {
		return "", "", local("No attempt is in progress. Start one with -init.")
	}
	if nonce == "" {
		nonce = s.text("nonce")
	}
	c.ui.errText(what + " operation nonce: " + nonce + "\n")
	key, err := c.secret("Unseal Key (will be hidden): ")
	return key, nonce, err
}

func (c *call) showRekey(s object) error {
	if !c.ui.isTable() {
		return c.ui.structured(s)
	}
	rows := [][]string{{"Key", "Value"}, {"Nonce", s.text("nonce")}, {"Started", orElse(s.text("started"), "true")}}
	if s["started"] == true {
		progress := s.text("progress") + "/" + orElse(s.text("required"), s.text("t"))
		name := "Rekey Progress"
		if s.text("verification_nonce") != "" {
			rows = append(rows, []string{"Verification Nonce", s.text("verification_nonce")})
		}
		rows = append(rows, []string{name, progress}, []string{"New Shares", s.text("n")}, []string{"New Threshold", s.text("t")})
		if s.text("verification_required") != "" {
			rows = append(rows, []string{"Verification Required", s.text("verification_required")})
		}
	}
	c.ui.table(rows)
	return nil
}

func (c *call) showNewKeys(s object) error {
	if !c.ui.isTable() {
		return c.ui.structured(s)
	}
	prints := s.strings("pgp_fingerprints")
	for i, k := range s.strings("keys_base64") {
		if len(prints) > i {
			c.ui.out(fmt.Sprintf("Key %d fingerprint: %s; value: %s", i+1, prints[i], k))
			continue
		}
		c.ui.out(fmt.Sprintf("Key %d: %s", i+1, k))
	}
	c.ui.out("\nOperation nonce: " + s.text("nonce") + "\n")
	if s["verification_required"] == true {
		c.ui.out("The keys above are NOT in force yet. Give a quorum of them with -verify and\nthe nonce " + s.text("verification_nonce") + ".")
		return nil
	}
	c.ui.out("The keys above are in force and the old ones are worthless. Give each to its\nholder now: nothing keeps a copy.")
	return nil
}
