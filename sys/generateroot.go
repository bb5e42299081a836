package sys

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
	"github.com/fastness-dev/fastness/storage/seal"
)

// A new root token is "hvs." and 24 random characters, so its length is known
// when the one-time password is given out.
const (
	rootPrefix   = "hvs."
	rootTokenLen = len(rootPrefix) + 24
)

// A rootAttempt makes a root token out of enough shares. Either otp or pgpKey
// is set.
type rootAttempt struct {
	shares      *seal.Ceremony
	otp         string
	pgpKey      string
	fingerprint string
}

func (s *System) dropRootAttempt() {
	if s.rootAttempt != nil {
		s.rootAttempt.shares.Clear()
		s.rootAttempt = nil
	}
}

type rootStatus struct {
	Nonce            string `json:"nonce"`
	Started          bool   `json:"started"`
	Progress         int    `json:"progress"`
	Required         int    `json:"required"`
	Complete         bool   `json:"complete"`
	EncodedToken     string `json:"encoded_token"`
	EncodedRootToken string `json:"encoded_root_token"`
	PGPFingerprint   string `json:"pgp_fingerprint"`
	OTP              string `json:"otp"`
	OTPLength        int    `json:"otp_length"`
}

func (a *rootAttempt) status() *rootStatus {
	p := a.shares.Progress()
	return &rootStatus{Nonce: p.Nonce, Started: true, Progress: p.Progress, Required: p.Required, PGPFingerprint: a.fingerprint}
}

func (s *System) readRootAttempt(v engine.View, _ engine.None) (*rootStatus, error) {
	return s.rootStatus(v.Context())
}

func (s *System) rootStatus(ctx context.Context) (*rootStatus, error) {
	config, err := s.sealConfig(ctx)
	if err != nil {
		return nil, err
	}
	if config == nil {
		return nil, storage.ErrSealed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status := &rootStatus{Required: config.Threshold}
	if s.rootAttempt != nil {
		status = s.rootAttempt.status()
	}
	status.OTPLength = rootTokenLen
	return status, nil
}

type rootAttemptRequest struct {
	OTP    string `json:"otp" secret:"true" doc:"One-time password that the token is XORed with; drawn if absent."`
	PGPKey string `json:"pgp_key" doc:"Public key to encrypt the token to."`
}

func (s *System) startRootAttempt(ctx context.Context, _ *engine.Caller, req rootAttemptRequest) (*rootStatus, error) {
	a := &rootAttempt{otp: req.OTP, pgpKey: req.PGPKey}
	drawn := ""
	switch {
	case req.PGPKey != "":
		prints, err := seal.Fingerprints([]string{req.PGPKey})
		if err != nil {
			return nil, engine.Bad("pgp_key: %s", err)
		}
		a.fingerprint = prints[0]
	case req.OTP == "":
		otp, err := seal.NewOTP(rootTokenLen, rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("draw one-time password: %w", err)
		}
		a.otp, drawn = otp, otp
	case len(req.OTP) != rootTokenLen:
		return nil, engine.Bad("%s", seal.ErrOTPLength)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rootAttempt != nil {
		return nil, engine.Bad("root generation already in progress")
	}
	config, err := s.sealConfig(ctx)
	if err != nil {
		return nil, err
	}
	if config == nil || s.Barrier.Sealed() {
		return nil, storage.ErrSealed
	}
	a.shares = seal.NewCeremony(config.Threshold, uuid.NewString)
	a.shares.Start()
	s.rootAttempt = a
	status := a.status()
	status.OTP, status.OTPLength = drawn, rootTokenLen
	return status, nil
}

func (s *System) cancelRootAttempt(context.Context, *engine.Caller, engine.None) (engine.None, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropRootAttempt()
	return engine.None{}, nil
}

type shareRequest struct {
	Key   string `json:"key" secret:"true" doc:"One share of the seal key, in hex or base64."`
	Nonce string `json:"nonce" doc:"Name of the attempt."`
}

func (s *System) updateRootAttempt(ctx context.Context, _ *engine.Caller, req shareRequest) (*rootStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.rootAttempt
	if a == nil {
		if req.Key == "" {
			return nil, engine.Bad("'key' must be specified in request body as JSON")
		}
		return nil, engine.Bad("no root generation in progress")
	}
	key, err := addShare(a.shares, "root generation", req.Key, req.Nonce)
	if err != nil {
		return nil, err
	}
	status := a.status()
	if key == nil {
		return status, nil
	}
	defer clear(key)
	root, err := s.proven(ctx, a.shares, key)
	if err != nil {
		return nil, err
	}
	clear(root)
	encoded, err := s.encodedRoot(ctx, a)
	if err != nil {
		return nil, err
	}
	s.dropRootAttempt()
	s.Logger.Warn("root token generated", "nonce", status.Nonce)
	status.Complete, status.EncodedToken, status.EncodedRootToken = true, encoded, encoded
	return status, nil
}

// encodedRoot makes the token and hides it from all but who started.
func (s *System) encodedRoot(ctx context.Context, a *rootAttempt) (encoded string, err error) {
	id, err := seal.NewOTP(rootTokenLen-len(rootPrefix), rand.Reader)
	if err != nil {
		return "", fmt.Errorf("draw root token: %w", err)
	}
	_, err = s.Store.Update(ctx, func(tx *storage.Tx) error {
		_, raw, err := s.Tokens.CreateRoot(tx, rootPrefix+id)
		if err != nil {
			return err
		}
		if a.pgpKey == "" {
			encoded, err = seal.EncodeToken(raw, a.otp)
			return err
		}
		_, message, err := seal.EncryptText(a.pgpKey, raw)
		encoded = base64.StdEncoding.EncodeToString(message)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("make root token: %w", err)
	}
	return encoded, nil
}

type decodeRequest struct {
	EncodedToken string `json:"encoded_token" secret:"true" doc:"What generating a root token answered."`
	OTP          string `json:"otp" secret:"true" doc:"The one-time password of the attempt."`
}

type decodedToken struct {
	Token string `json:"token"`
}

func (s *System) decodeToken(_ engine.View, req decodeRequest) (*decodedToken, error) {
	if req.EncodedToken == "" || req.OTP == "" {
		return nil, engine.Bad("provided 'encoded_token' or 'otp' is empty")
	}
	token, err := seal.DecodeToken(req.EncodedToken, req.OTP)
	if err != nil {
		return nil, engine.Bad("%s", err)
	}
	return &decodedToken{token}, nil
}

func rootRoutes() engine.Routes[System] {
	const attempt = "generate-root/attempt"
	return engine.Routes[System]{
		engine.Read(attempt, (*System).readRootAttempt).Bare().RootNamespace().Doc("Say how the making of a root token stands."),
		engine.Outside(attempt, engine.OpWrite, (*System).startRootAttempt).Bare().RootNamespace().Doc("Start to make a root token."),
		engine.Outside(attempt, engine.OpDelete, (*System).cancelRootAttempt).Bare().RootNamespace().Doc("Give up making a root token."),
		engine.Outside("generate-root/update", engine.OpWrite, (*System).updateRootAttempt).Bare().RootNamespace().Doc("Give one share for a root token."),
		engine.Compute("decode-token", (*System).decodeToken).Public().Doc("Decode a root token that was generated."),
	}
}
