//go:build cgo

package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	p11 "github.com/miekg/pkcs11"

	"github.com/fastness-dev/fastness/storage/seal/pkcs11"
)

// purpose is authenticated with what AES-GCM seals.
var purpose = []byte("fastness seal key")

// gcmNonce and gcmTag are in bytes.
const (
	gcmNonce = 12
	gcmTag   = 16
)

// A hsm is a session that is logged in.
type hsm struct {
	ctx       *p11.Ctx
	session   p11.SessionHandle
	mechanism uint
	hash      uint // of OAEP
	mgf       uint
	sealing   p11.ObjectHandle
	opening   p11.ObjectHandle
	keyID     string
}

var mechanisms = map[string]uint{
	"": 0, "CKM_AES_GCM": p11.CKM_AES_GCM, "CKM_RSA_PKCS_OAEP": p11.CKM_RSA_PKCS_OAEP,
}

var hashes = map[string][2]uint{
	"": {p11.CKM_SHA256, p11.CKG_MGF1_SHA256}, "sha1": {p11.CKM_SHA_1, p11.CKG_MGF1_SHA1},
	"sha224": {p11.CKM_SHA224, p11.CKG_MGF1_SHA224}, "sha256": {p11.CKM_SHA256, p11.CKG_MGF1_SHA256},
	"sha384": {p11.CKM_SHA384, p11.CKG_MGF1_SHA384}, "sha512": {p11.CKM_SHA512, p11.CKG_MGF1_SHA512},
}

func openModule(t pkcs11.Token) (module, error) {
	h := &hsm{ctx: p11.New(t.Lib)}
	if h.ctx == nil {
		return nil, fmt.Errorf("the library %s cannot be loaded: is lib the path of your HSM's PKCS#11 library, built for this machine?", t.Lib)
	}
	if err := h.ctx.Initialize(); err != nil {
		return nil, fmt.Errorf("initialise the library %s: %w", t.Lib, err)
	}
	if err := h.choose(t); err != nil {
		return nil, err
	}
	slot, err := h.slot(t)
	if err != nil {
		return nil, err
	}
	if h.session, err = h.ctx.OpenSession(slot, p11.CKF_SERIAL_SESSION); err != nil {
		return nil, fmt.Errorf("open a session on slot %d: %w", slot, err)
	}
	if err := h.ctx.Login(h.session, p11.CKU_USER, t.PIN); err != nil && !errors.Is(err, p11.Error(p11.CKR_USER_ALREADY_LOGGED_IN)) {
		return nil, fmt.Errorf("log in to the token: %w: is pin right, and the user's? too many wrong ones lock it", err)
	}
	return h, h.findKeys(t)
}

// choose reads how the key is used; a mechanism may be a number, as in "0x1087".
func (h *hsm) choose(t pkcs11.Token) error {
	var known bool
	if h.mechanism, known = mechanisms[strings.ToUpper(t.Mechanism)]; !known {
		n, err := strconv.ParseUint(t.Mechanism, 0, 32)
		if err != nil || n != p11.CKM_AES_GCM && n != p11.CKM_RSA_PKCS_OAEP {
			return errors.New("mechanism must be CKM_AES_GCM (0x1087) or CKM_RSA_PKCS_OAEP (0x9): others do not authenticate what they seal")
		}
		h.mechanism = uint(n)
	}
	hash, known := hashes[strings.ToLower(t.OAEPHash)]
	if !known {
		return errors.New("rsa_oaep_hash must be sha1, sha224, sha256, sha384 or sha512")
	}
	h.hash, h.mgf = hash[0], hash[1]
	return nil
}

func (h *hsm) slot(t pkcs11.Token) (uint, error) {
	slots, err := h.ctx.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("list the slots with a token: %w", err)
	}
	for _, slot := range slots {
		info, err := h.ctx.GetTokenInfo(slot)
		if err != nil {
			continue // a token that is being pulled out
		}
		label := t.TokenLabel == "" || strings.TrimRight(info.Label, " \x00") == t.TokenLabel
		number, err := strconv.ParseUint(t.Slot, 0, 64)
		if label && (t.Slot == "" || err == nil && uint(number) == slot) {
			return slot, nil
		}
	}
	return 0, fmt.Errorf("none of %d tokens fits token_label %q and slot %q: is the HSM connected?", len(slots), t.TokenLabel, t.Slot)
}

func (h *hsm) findKeys(t pkcs11.Token) (err error) {
	h.keyID = strings.Trim(t.KeyLabel+" "+t.KeyID, " ")
	if h.mechanism != p11.CKM_RSA_PKCS_OAEP {
		if h.sealing, err = h.find(t, p11.CKO_SECRET_KEY); err == nil {
			h.mechanism, h.opening = p11.CKM_AES_GCM, h.sealing
			return nil
		}
		if h.mechanism == p11.CKM_AES_GCM {
			return err
		}
	}
	if h.opening, err = h.find(t, p11.CKO_PRIVATE_KEY); err != nil {
		return err
	}
	if h.sealing, err = h.find(t, p11.CKO_PUBLIC_KEY); err != nil {
		return err
	}
	h.mechanism = p11.CKM_RSA_PKCS_OAEP
	return nil
}

func (h *hsm) find(t pkcs11.Token, class uint) (p11.ObjectHandle, error) {
	template := []*p11.Attribute{p11.NewAttribute(p11.CKA_CLASS, class)}
	if t.KeyLabel != "" {
		template = append(template, p11.NewAttribute(p11.CKA_LABEL, t.KeyLabel))
	}
	if t.KeyID != "" {
		id, err := hex.DecodeString(strings.TrimPrefix(t.KeyID, "0x"))
		if err != nil {
			return 0, errors.New("key_id must be hexadecimal")
		}
		template = append(template, p11.NewAttribute(p11.CKA_ID, id))
	}
	if err := h.ctx.FindObjectsInit(h.session, template); err != nil {
		return 0, fmt.Errorf("look for the key: %w", err)
	}
	found, _, err := h.ctx.FindObjects(h.session, 2)
	if end := h.ctx.FindObjectsFinal(h.session); err == nil {
		err = end
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("look for the key: %w", err)
	case len(found) == 0:
		return 0, fmt.Errorf("the token has no key %q: make an AES key of 256 bits, or an RSA key pair, with your HSM's tool", h.keyID)
	case len(found) > 1:
		return 0, fmt.Errorf("the token has several keys %q: name one by key_id as well", h.keyID)
	}
	return found[0], nil
}

// with sets up the mechanism with a nonce and returns what frees it.
func (h *hsm) with(nonce []byte) ([]*p11.Mechanism, func()) {
	if h.mechanism == p11.CKM_AES_GCM {
		params := p11.NewGCMParams(nonce, purpose, gcmTag*8)
		return []*p11.Mechanism{p11.NewMechanism(p11.CKM_AES_GCM, params)}, params.Free
	}
	params := p11.NewOAEPParams(h.hash, h.mgf, p11.CKZ_DATA_SPECIFIED, nil)
	return []*p11.Mechanism{p11.NewMechanism(p11.CKM_RSA_PKCS_OAEP, params)}, func() {}
}

func (h *hsm) encrypt(key []byte) ([]byte, string, error) {
	var nonce []byte
	if h.mechanism == p11.CKM_AES_GCM {
		nonce = make([]byte, gcmNonce)
		if _, err := rand.Read(nonce); err != nil {
			return nil, "", fmt.Errorf("draw nonce: %w", err)
		}
	}
	m, free := h.with(nonce)
	defer free()
	if err := h.ctx.EncryptInit(h.session, m, h.sealing); err != nil {
		return nil, "", fmt.Errorf("encrypt by the key %q: %w: may the key encrypt, and does the HSM know the mechanism and rsa_oaep_hash?", h.keyID, err)
	}
	out, err := h.ctx.Encrypt(h.session, key)
	if err != nil {
		return nil, "", fmt.Errorf("encrypt by the key %q: %w", h.keyID, err)
	}
	return append(nonce, out...), h.keyID, nil
}

func (h *hsm) decrypt(data []byte, _ string) ([]byte, error) {
	var nonce []byte
	if h.mechanism == p11.CKM_AES_GCM {
		if len(data) < gcmNonce+gcmTag {
			return nil, errors.New("the stored key is cut off: unseal with recovery keys, and it is stored anew")
		}
		nonce, data = data[:gcmNonce], data[gcmNonce:]
	}
	m, free := h.with(nonce)
	defer free()
	if err := h.ctx.DecryptInit(h.session, m, h.opening); err != nil {
		return nil, fmt.Errorf("decrypt by the key %q: %w: may the key decrypt?", h.keyID, err)
	}
	key, err := h.ctx.Decrypt(h.session, data)
	if err != nil {
		return nil, fmt.Errorf("decrypt by the key %q: %w: it is not the key that sealed this cluster, or the stored key is damaged: unseal with recovery keys", h.keyID, err)
	}
	return key, nil
}
