package seals

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/pkcs11"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
	"github.com/fastness-dev/fastness/storage/seal/tpm"
)

const softHSM = "/usr/lib/softhsm/libsofthsm2.so"

// command runs a program of Debian's to its end.
func command(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: test/clients/debian.sh installs it\n%s", name, err, out)
	}
}

// token makes a token with an AES key and an RSA pair, builds the program that
// holds the library, and returns the settings of a seal on it.
func token(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(conf, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)
	command(t, nil, "softhsm2-util", "--init-token", "--free", "--label", "fastness", "--pin", "1234", "--so-pin", "5678")
	plugin := filepath.Join(dir, pkcs11.Program)
	command(t, []string{"CGO_ENABLED=1"}, "go", "build", "-o", plugin, "github.com/fastness-dev/fastness/cmd/fastness-pkcs11")
	command(t, nil, "pkcs11-tool", "--module", softHSM, "--login", "--pin", "1234", "--keygen", "--key-type", "aes:32", "--label", "aes")
	command(t, nil, "pkcs11-tool", "--module", softHSM, "--login", "--pin", "1234", "--keypairgen", "--key-type", "rsa:2048", "--label", "rsa")
	return map[string]string{"lib": softHSM, "token_label": "fastness", "pin": "1234", "plugin": plugin, "key_label": "aes"}
}

func with(settings map[string]string, changes ...string) map[string]string {
	changed := map[string]string{}
	for k, v := range settings {
		changed[k] = v
	}
	for i := 0; i < len(changes); i += 2 {
		changed[changes[i]] = changes[i+1]
	}
	return changed
}

func TestPKCS11(t *testing.T) {
	settings := token(t)
	w := sealtest.Open(t, pkcs11.Kind(), settings)
	sealtest.Exercise(t, w)
	sealtest.Exercise(t, sealtest.Open(t, pkcs11.Kind(), with(settings, "mechanism", "0x1087")))
	// SoftHSM knows OAEP with SHA-1 only.
	sealtest.Exercise(t, sealtest.Open(t, pkcs11.Kind(), with(settings, "key_label", "rsa", "mechanism", "CKM_RSA_PKCS_OAEP", "rsa_oaep_hash", "sha1")))

	for want, changed := range map[string]map[string]string{
		"is pin right":                      with(settings, "pin", "9999"),
		`tokens fits token_label "other"`:   with(settings, "token_label", "other"),
		`the token has no key "nokey"`:      with(settings, "key_label", "nokey"),
		"cannot be loaded":                  with(settings, "lib", "/nowhere.so"),
		"others do not authenticate":        with(settings, "mechanism", "0x1085"),
		"install it beside the server":      with(settings, "plugin", "/nowhere"),
		"does not speak this server's":      with(settings, "plugin", "/bin/cat"),
		"does the HSM know the mechanism a": with(settings, "key_label", "rsa"),
	} {
		_, err := sealtest.Open(t, pkcs11.Kind(), changed).Encrypt(t.Context(), make([]byte, 32))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "9999") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestALibraryThatHangsOrEndsIsStartedAnew(t *testing.T) {
	settings := token(t)
	// A program that never answers the first time and works the second.
	script := filepath.Join(t.TempDir(), "slow")
	text := "#!/bin/sh\nif [ ! -e " + script + ".was ]; then touch " + script + ".was; exec sleep 3600; fi\nexec " + settings["plugin"] + "\n"
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	w := sealtest.Open(t, pkcs11.Kind(), with(settings, "plugin", script))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := w.Encrypt(ctx, make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "the token does not answer") {
		t.Fatal(err)
	}
	if err := os.WriteFile(script+".was", nil, 0o600); err != nil { // should the first have been ended before it came so far
		t.Fatal(err)
	}
	sealtest.Exercise(t, w)
}

// software starts a TPM of swtpm and returns the path of its socket.
func software(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tpm") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "tpm.sock")
	cmd := exec.Command("swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--ctrl", "type=unixio,path="+filepath.Join(dir, "ctrl.sock"), "--flags", "not-need-init,startup-clear")
	if err := cmd.Start(); err != nil {
		t.Fatalf("start swtpm: %v: test/clients/debian.sh installs it", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		if c, err := net.Dial("unix", socket); err == nil { // the file is there before anybody listens
			_ = c.Close()
			return socket
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("swtpm ended: %v", err)
		case <-late:
			t.Fatal("swtpm did not start")
		case <-tick.C:
		}
	}
}

func TestTPM(t *testing.T) {
	socket := software(t)
	w := sealtest.Open(t, tpm.Kind(), map[string]string{"device": socket})
	sealtest.Exercise(t, w)
	b, err := w.Encrypt(t.Context(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	other := sealtest.Open(t, tpm.Kind(), map[string]string{"device": "unix:" + software(t)})
	if _, err := other.Decrypt(t.Context(), b); err == nil || !strings.Contains(err.Error(), "it was sealed by another TPM") {
		t.Fatal(err)
	}
	if _, err := sealtest.Open(t, tpm.Kind(), map[string]string{"device": "/nowhere"}).Decrypt(t.Context(), b); err == nil || !strings.Contains(err.Error(), "is there a TPM 2.0") {
		t.Fatal(err)
	}
	got := sealtest.Refused(t, tpm.Kind(), map[string]string{"pcrs": "7,99", "pcr_bank": "md5"})
	if !strings.Contains(got, `"pcrs" must be numbers from 0 to 23`) || !strings.Contains(got, `"pcr_bank" must be`) {
		t.Fatal(got)
	}
}

func TestTPMOfAMachineThatWasBootedOtherwise(t *testing.T) {
	socket := software(t)
	w := sealtest.Open(t, tpm.Kind(), map[string]string{"device": socket, "pcrs": "7, 16"})
	sealtest.Exercise(t, w)
	b, err := w.Encrypt(t.Context(), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	extend(t, socket, 16)
	if _, err := w.Decrypt(t.Context(), b); err == nil || !strings.Contains(err.Error(), "booted into another state than PCRs [7 16]") {
		t.Fatal(err)
	}
	if b, err = w.Encrypt(t.Context(), make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Decrypt(t.Context(), seal.Blob{Data: b.Data}); err != nil {
		t.Fatal(err)
	}
}

// extend changes a PCR, as booting something else does.
func extend(t *testing.T, socket string, pcr uint32) {
	t.Helper()
	dev, err := linuxudstpm.Open(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	_, err = tpm2.PCRExtend{PCRHandle: tpm2.AuthHandle{Handle: tpm2.TPMHandle(pcr), Auth: tpm2.PasswordAuth(nil)},
		Digests: tpm2.TPMLDigestValues{Digests: []tpm2.TPMTHA{{HashAlg: tpm2.TPMAlgSHA256, Digest: make([]byte, 32)}}}}.Execute(dev)
	if err != nil {
		t.Fatal(err)
	}
}
