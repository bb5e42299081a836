package seals

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/awskms"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// patience only ends what hangs: an install, or the start of another program.
const patience = 5 * time.Minute

func TestAWSKMS(t *testing.T) {
	endpoint := moto(t)
	client := kms.New(kms.Options{Region: "eu-central-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	newKey := func() string {
		made, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(made.KeyMetadata.KeyId)
	}
	key := newKey()
	settings := func(key string) map[string]string {
		return map[string]string{"region": "eu-central-1", "access_key": "id", "secret_key": "secret", "kms_key_id": key, "endpoint": endpoint}
	}
	w := sealtest.Open(t, awskms.Kind(), settings(key))
	sealtest.Exercise(t, w)

	b, err := w.Encrypt(t.Context(), make([]byte, 32))
	if err != nil || !strings.HasSuffix(b.KeyID, key) {
		t.Fatalf("sealed by %q, %v", b.KeyID, err)
	}
	refused := func(w seal.Wrapper, want string) {
		t.Helper()
		if _, err := w.Decrypt(t.Context(), b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	// Storage must not choose the key that decrypts, even among our own.
	refused(sealtest.Open(t, awskms.Kind(), settings(newKey())), "(the root key was sealed under "+b.KeyID+")")
	refused(sealtest.Open(t, awskms.Kind(), settings("11111111-2222-3333-4444-555555555555")), "there is no such key")
}

func TestAWSKMSThatIsNotThere(t *testing.T) {
	w := sealtest.Open(t, awskms.Kind(), map[string]string{"access_key": "id", "secret_key": "hunter2", "kms_key_id": "k", "endpoint": "http://127.0.0.1:1"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := w.Encrypt(ctx, make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "KMS does not answer") || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
	if got := sealtest.Refused(t, awskms.Kind(), map[string]string{"web_identity_token_file": "f"}); !strings.Contains(got, `"kms_key_id" is missing`) || !strings.Contains(got, "needs role_arn") {
		t.Fatal(got)
	}
}

var running = regexp.MustCompile(`Running on (http://127\.0\.0\.1:\d+)`)

// moto starts moto's server on a free port and returns its address.
func moto(t *testing.T) string {
	t.Helper()
	packages := installMoto(t)
	cmd := exec.Command("python3", "-c", "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = cmd.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("start moto: %v: test/clients/debian.sh installs python3", err)
	}
	found, drained := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(drained)
		var said strings.Builder
		for lines := bufio.NewScanner(out); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if m := running.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
		select {
		case found <- "moto ended:\n" + said.String():
		default:
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	select {
	case address := <-found:
		if !strings.HasPrefix(address, "http://") {
			t.Fatal(address)
		}
		return address
	case <-time.After(patience):
		t.Fatal("moto did not start")
	}
	return ""
}

// installMoto puts what requirements.txt pins into a folder of .cache named for
// the pins, and returns the folder.
func installMoto(t *testing.T) string {
	t.Helper()
	pins, err := os.ReadFile("requirements.txt")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(pins)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	packages := filepath.Join(root, ".cache", "moto-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(packages); err == nil {
		return packages
	}
	if err := os.MkdirAll(filepath.Dir(packages), 0o755); err != nil {
		t.Fatal(err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(packages), "moto-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	t.Logf("installing moto from PyPI into %s", packages)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	install := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", fresh, "-r", "requirements.txt")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install moto: %v: test/clients/debian.sh installs pip\n%s", err, out)
	}
	if err := os.Rename(fresh, packages); err != nil {
		t.Fatal(err)
	}
	return packages
}
