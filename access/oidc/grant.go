package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// A grant is what an entity allowed a client. It is kept by the digest of the
// code that was drawn for it, and then again by that of the access token; both
// rows end by themselves.
type grant struct {
	Provider    string    `json:"provider"`
	ClientID    string    `json:"client_id"`
	Entity      string    `json:"entity"`
	Scopes      []string  `json:"scopes"` // without openid
	RedirectURI string    `json:"redirect_uri,omitempty"`
	Nonce       string    `json:"nonce,omitempty"`
	AuthTime    time.Time `json:"auth_time,omitzero"` // if the client asked for it
	Challenge   string    `json:"challenge,omitempty"`
	Method      string    `json:"method,omitempty"` // of the challenge
	Expires     time.Time `json:"expires"`
	// Spent is where the access token is that the code was changed for: who
	// comes with the code again ends it.
	Spent string `json:"spent,omitempty"`
}

func codePath(code string) string    { return "oidc/code/" + digest(code) }
func accessPath(token string) string { return "oidc/access/" + digest(token) }

// grantAt is what is kept at a path and has not ended, or nil.
func grantAt(v engine.View, path string) (*grant, error) {
	b, err := v.Get(path)
	if err != nil || b == nil {
		return nil, err
	}
	g := new(grant)
	if err := json.Unmarshal(b, g); err != nil {
		return nil, fmt.Errorf("decode a grant: %w", err)
	}
	if !v.Now().Before(g.Expires) {
		return nil, nil
	}
	return g, nil
}

func (g *grant) put(tx engine.Tx, path string) error {
	b, err := json.Marshal(g)
	if err != nil {
		return fmt.Errorf("encode a grant: %w", err)
	}
	tx.PutUnlisted(path, b)
	tx.At(g.Expires, jobGone, path)
	return nil
}

func forget(tx engine.Tx, path string) {
	tx.DeleteUnlisted(path)
	tx.Cancel(jobGone, path)
}

// The ways of PKCE (RFC 7636).
const (
	plainChallenge  = "plain"
	hashedChallenge = "S256"
)

// proves says whether a verifier is the one that the code was asked for with. A
// verifier for a code without a challenge is of somebody else.
func (g *grant) proves(verifier string) bool {
	if g.Challenge == "" {
		return verifier == ""
	}
	if !isVerifier(verifier) {
		return false
	}
	if g.Method == hashedChallenge {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return subtle.ConstantTimeCompare([]byte(verifier), []byte(g.Challenge)) == 1
}

// isVerifier is the form of a verifier, and of a challenge.
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, alphabet+"-._~") == ""
}

// halfHash is what an ID token tells of another: the left half of its hash.
func halfHash(a *algorithm, secret string) string {
	h := a.hash.New()
	h.Write([]byte(secret))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
