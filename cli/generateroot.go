package cli

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"

	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/internal/draw"
)

// operator generate-root: a quorum of key holders makes a root token that only
// who holds the one-time password (or the PGP key) can read.

func bindGenerateRoot(f *flags) action {
	var (
		start  = f.toggle("init", false, "Start an attempt.")
		cancel = f.toggle("cancel", false, "Drop the attempt.")
		status = f.toggle("status", false, "Show the attempt.")
		decode = f.text("decode", "", "Turn this encoded `token` into the root token; needs -otp.")
		newOTP = f.toggle("generate-otp", false, "Print a one-time password for -init.")
		otp    = f.text("otp", "", "One-time `password` that hides the token.")
		pgp    = f.text("pgp-key", "", "`File` of the PGP key to encrypt the token to.")
		nonce  = f.text("nonce", "", "`Nonce` of the attempt, when the key is an argument.")
		dr     = f.toggle("dr-token", false, "Make a token for disaster recovery instead.")
		rec    = f.toggle("recovery-token", false, "Make a token for recovery mode instead.")
	)
	return func(c *call) error {
		if err := c.want(0, 1); err != nil {
			return err
		}
		base := "sys/generate-root/"
		switch {
		case *dr && *rec:
			return local("-dr-token and -recovery-token exclude each other")
		case *dr:
			base = "sys/replication/dr/secondary/generate-operation-token/"
		case *rec:
			base = "sys/generate-recovery-token/"
		}
		if *decode != "" {
			return c.decodeRoot(*decode, *otp)
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		attempt := base + "attempt"
		switch {
		case *newOTP:
			return c.printOTP(cl, attempt)
		case *start:
			return c.startRoot(cl, attempt, *otp, *pgp)
		case *cancel:
			if _, err := cl.Delete(c.ctx, attempt, nil); err != nil {
				return remote("Error canceling root token generation: %w", err)
			}
			c.ui.success("Success! Root token generation canceled (if it was started)")
			return nil
		case *status:
			s, err := c.attempt(cl, attempt)
			if err != nil {
				return remote("Error getting root generation status: %w", err)
			}
			return c.showRoot(s)
		}
		key, n, err := c.keyAndNonce(cl, attempt, *nonce, "Root generation")
		if err != nil {
			return err
		}
		s, err := c.flat(cl, http.MethodPut, base+"update", object{"key": key, "nonce": n})
		if err != nil {
			return remote("Error posting unseal key: %w", err)
		}
		return c.showRoot(s)
	}
}

func (c *call) startRoot(cl *client.Client, attempt, otp, pgp string) error {
	o := object{"otp": orNil(otp)}
	if pgp != "" {
		keys, err := pgpKeys([]string{pgp})
		if err != nil {
			return err
		}
		o["pgp_key"] = keys[0]
	}
	s, err := c.flat(cl, http.MethodPut, attempt, o)
	if err != nil {
		return remote("Error initializing root generation: %w", err)
	}
	if s.text("otp") != "" {
		c.ui.warn(wrapText("", "", "A One-Time-Password has been generated for you and is shown in the OTP field. "+
			"You will need this value to decode the resulting root token, so keep it safe.", 78))
	}
	return c.showRoot(s)
}

// printOTP makes a password as long as the server's tokens are.
func (c *call) printOTP(cl *client.Client, attempt string) error {
	s, err := c.attempt(cl, attempt)
	if err != nil {
		return remote("Error getting root generation status: %w", err)
	}
	length, err := strconv.Atoi(s.text("otp_length"))
	if err != nil || length < 1 || length > 1024 {
		return remote("The server does not tell how long its passwords are")
	}
	otp, err := draw.Base62(rand.Reader, length)
	if err != nil {
		return local("%w", err)
	}
	if !c.ui.isTable() {
		return c.ui.structured(object{"otp": otp, "otp_length": length})
	}
	c.ui.outRaw(otp)
	return nil
}

// decodeRoot needs no server: the token is the exclusive or of both texts.
func (c *call) decodeRoot(encoded, otp string) error {
	if otp == "" {
		return local("Missing otp: use -otp to supply it")
	}
	b, err := base64.RawStdEncoding.DecodeString(encoded)
	if err != nil {
		b, err = base64.StdEncoding.DecodeString(encoded)
	}
	if err != nil {
		return local("Error decoding root token: not base64")
	}
	if len(b) != len(otp) {
		return local("Error decoding root token: it has %d bytes and the password %d; they belong to different attempts", len(b), len(otp))
	}
	subtle.XORBytes(b, b, []byte(otp))
	if !c.ui.isTable() {
		return c.ui.structured(object{"token": string(b)})
	}
	c.ui.outRaw(string(b))
	return nil
}

func (c *call) showRoot(s object) error {
	if !c.ui.isTable() {
		return c.ui.structured(s)
	}
	rows := [][]string{{"Nonce", s.text("nonce")}, {"Started", s.text("started")},
		{"Progress", s.text("progress") + "/" + s.text("required")}, {"Complete", s.text("complete")}}
	for _, r := range []struct{ title, name string }{
		{"PGP Fingerprint", "pgp_fingerprint"}, {"Encoded Token", "encoded_token"}, {"OTP", "otp"}, {"OTP Length", "otp_length"},
	} {
		if v := s.text(r.name); v != "" && v != "0" {
			rows = append(rows, []string{r.title, v})
		}
	}
	if s.text("encoded_token") == "" && s.text("encoded_root_token") != "" {
		rows = append(rows, []string{"Encoded Token", s.text("encoded_root_token")})
	}
	c.ui.columns(rows)
	return nil
}
