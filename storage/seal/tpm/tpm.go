// Package tpm is a seal whose key never leaves the machine's TPM 2.0: the seal
// key lies in a sealed object below a primary key of the owner's hierarchy,
// bound, if PCRs are named, to the state that the machine was booted into.
//
// Each node has a TPM of its own, so it fits a single node; several nodes take
// a key service, or one TPM each as the second of two seals.
package tpm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/fastness-dev/fastness/storage/seal"
)

// Kind is the seal "tpm".
func Kind() seal.Kind {
	return seal.Kind{Type: "tpm", Open: open}
}

type wrapper struct {
	device string
	pcrs   []uint
	bank   tpm2.TPMIAlgHash

	mu sync.Mutex // the TPM does one thing at a time
}

var banks = map[string]tpm2.TPMIAlgHash{"sha1": tpm2.TPMAlgSHA1, "sha256": tpm2.TPMAlgSHA256, "sha384": tpm2.TPMAlgSHA384}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	w := &wrapper{device: s.Default("device", "/dev/tpmrm0")}
	var known bool
	if w.bank, known = banks[strings.ToLower(s.Default("pcr_bank", "sha256"))]; !known {
		s.Fail("pcr_bank", "must be sha1, sha256 or sha384")
	}
	for _, text := range strings.FieldsFunc(s.Text("pcrs"), func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.ParseUint(text, 10, 8)
		if err != nil || n > 23 {
			s.Fail("pcrs", "must be numbers from 0 to 23 with commas between them")
			break
		}
		w.pcrs = append(w.pcrs, uint(n))
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *wrapper) Type() string { return "tpm" }
func (w *wrapper) Close() error { return nil }

// Target tells no two machines apart: their TPMs do.
func (w *wrapper) Target() string { return fmt.Sprintf("%s %v", w.device, w.pcrs) }

// A storage is the TPM's key that sealed objects lie below.
type storage struct {
	dev    transport.TPM
	parent tpm2.AuthHandle
	public tpm2.TPMTPublic
}

// with opens the TPM for one thing to do: it is shared with the system.
func (w *wrapper) with(ctx context.Context, do func(storage) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	dev, err := dial(w.device)
	if err != nil {
		return fmt.Errorf("open the TPM at %s: %w: is there a TPM 2.0, and may uid %d read and write the device (group tss)?", w.device, err, os.Getuid())
	}
	defer func() { _ = dev.Close() }() // nothing is buffered
	primary, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(dev)
	if err != nil {
		return fmt.Errorf("make the TPM's storage key: %w: is the owner's hierarchy enabled and without a password?", err)
	}
	defer flush(dev, primary.ObjectHandle)
	public, err := primary.OutPublic.Contents()
	if err != nil {
		return fmt.Errorf("read the TPM's storage key: %w", err)
	}
	return do(storage{dev, tpm2.AuthHandle{Handle: primary.ObjectHandle, Name: primary.Name, Auth: tpm2.PasswordAuth(nil)}, *public})
}

// private encrypts what travels to or from the TPM: its bus may be listened to.
// Either tpm2.EncryptIn or tpm2.EncryptOut makes the option.
func (s *storage) private(option tpm2.AuthOption) tpm2.Session {
	return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, option, tpm2.Salted(s.parent.Handle, s.public))
}

// dial knows devices and sockets, which are how software TPMs are reached.
func dial(device string) (transport.TPMCloser, error) {
	path := strings.TrimPrefix(device, "unix:")
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Type() == os.ModeSocket {
		return linuxudstpm.Open(path)
	}
	return linuxtpm.Open(path)
}

func flush(dev transport.TPM, handle tpm2.TPMHandle) {
	_, _ = tpm2.FlushContext{FlushHandle: handle}.Execute(dev) // a manager of resources has done so already
}

// Encrypt makes a sealed object. Blob.Data is its public part and its private
// part, as the TPM marshals them.
func (w *wrapper) Encrypt(ctx context.Context, key []byte) (b seal.Blob, err error) {
	err = w.with(ctx, func(s storage) error {
		public := tpm2.TPMTPublic{Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
			ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, NoDA: true, UserWithAuth: len(w.pcrs) == 0}}
		if len(w.pcrs) > 0 {
			digest, err := w.policyDigest(s.dev)
			if err != nil {
				return fmt.Errorf("bind to the PCRs: %w", err)
			}
			public.AuthPolicy = digest
		}
		made, err := tpm2.Create{ParentHandle: s.parent, InPublic: tpm2.New2B(public),
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key})}},
		}.Execute(s.dev, s.private(tpm2.AESEncryption(128, tpm2.EncryptIn)))
		if err != nil {
			return fmt.Errorf("seal in the TPM: %w", err)
		}
		b = seal.Blob{KeyID: w.Target(), Data: append(tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)...)}
		return nil
	})
	return b, err
}

// Decrypt loads a sealed object and opens it.
func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) (key []byte, err error) {
	public, private, err := parts(b.Data)
	if err != nil {
		return nil, err
	}
	err = w.with(ctx, func(s storage) error {
		loaded, err := tpm2.Load{ParentHandle: s.parent, InPublic: *public, InPrivate: *private}.Execute(s.dev)
		if err != nil {
			return fmt.Errorf("load what was sealed: %w: it was sealed by another TPM, or this one was cleared: unseal with recovery keys, and it is sealed anew", err)
		}
		defer flush(s.dev, loaded.ObjectHandle)
		auth := tpm2.PasswordAuth(nil)
		if len(w.pcrs) > 0 {
			auth = tpm2.Policy(tpm2.TPMAlgSHA256, 16, w.policy)
		}
		opened, err := tpm2.Unseal{ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: auth}}.
			Execute(s.dev, s.private(tpm2.AESEncryption(128, tpm2.EncryptOut)))
		if err != nil {
			return fmt.Errorf("open what was sealed: %w: the machine was booted into another state than PCRs %v had: unseal with recovery keys, and it is sealed anew", err, w.pcrs)
		}
		key = opened.OutData.Buffer
		return nil
	})
	return key, err
}

// parts takes apart what Encrypt put together. Both begin with their length.
func parts(data []byte) (*tpm2.TPM2BPublic, *tpm2.TPM2BPrivate, error) {
	damaged := errors.New("the stored key is damaged: unseal with recovery keys, and it is stored anew")
	if len(data) < 4 {
		return nil, nil, damaged
	}
	n := 2 + int(data[0])<<8 + int(data[1])
	if n > len(data) {
		return nil, nil, damaged
	}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](data[:n])
	if err != nil {
		return nil, nil, damaged
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](data[n:])
	if err != nil {
		return nil, nil, damaged
	}
	return public, private, nil
}

// policy says in a session that the PCRs are what they are now.
func (w *wrapper) policy(dev transport.TPM, session tpm2.TPMISHPolicy, _ tpm2.TPM2BNonce) error {
	_, err := tpm2.PolicyPCR{PolicySession: session, Pcrs: tpm2.TPMLPCRSelection{PCRSelections: []tpm2.TPMSPCRSelection{
		{Hash: w.bank, PCRSelect: tpm2.PCClientCompatible.PCRs(w.pcrs...)}}}}.Execute(dev)
	return err
}

func (w *wrapper) policyDigest(dev transport.TPM) (digest tpm2.TPM2BDigest, err error) {
	session, end, err := tpm2.PolicySession(dev, tpm2.TPMAlgSHA256, 16, tpm2.Trial())
	if err != nil {
		return digest, err
	}
	defer func() { _ = end() }() // the TPM drops it with the connection
	if err := w.policy(dev, session.Handle(), session.NonceTPM()); err != nil {
		return digest, err
	}
	got, err := tpm2.PolicyGetDigest{PolicySession: session.Handle()}.Execute(dev)
	if err != nil {
		return digest, err
	}
	return got.PolicyDigest, nil
}
