package cli_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fastness-dev/fastness/cli"
)

// terminal opens a pseudo-terminal: what the program sees, and the other end.
func terminal(t *testing.T) (program, user *os.File) {
	t.Helper()
	user, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close() })
	if err := unix.IoctlSetPointerInt(int(user.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(user.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return program, user
}

func TestOnATerminalErrorsAreRedAndBareFieldsEndTheirLine(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/a" {
			_, _ = io.WriteString(w, `{"data":{"k":"v"}}`)
			return
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["no"]}`)
	}))
	defer s.Close()

	for _, tc := range []struct {
		args    []string
		noColor string
		want    string
	}{
		{[]string{"read", "-field=k", "a"}, "", "v\r\n"},
		{[]string{"read", "b"}, "", "\x1b[31mError reading b"},
		{[]string{"read", "b"}, "1", "Error reading b"},
	} {
		program, user := terminal(t)
		cli.Main(cli.Env{
			Args: append([]string{"vault"}, tc.args...), Stdin: strings.NewReader(""), Stdout: program, Stderr: program,
			Getenv: func(k string) string {
				return map[string]string{"VAULT_ADDR": s.URL, "VAULT_TOKEN": "t", "NO_COLOR": tc.noColor}[k]
			},
		})
		program.Close()
		got, _ := io.ReadAll(user) // ends in EIO, as a closed terminal does
		if !strings.HasPrefix(string(got), tc.want) {
			t.Errorf("%v: got %q, want %q", tc.args, got, tc.want)
		}
	}
}

func TestAKeyTypedOnATerminalDoesNotShow(t *testing.T) {
	var sent string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); r.Method == http.MethodPut {
			sent = string(b)
		}
		_, _ = io.WriteString(w, `{"type":"shamir","sealed":true}`)
	}))
	defer s.Close()
	program, user := terminal(t)
	unseal := func(args ...string) int {
		return cli.Main(cli.Env{
			Args:  append([]string{"vault", "operator", "unseal"}, args...),
			Stdin: program, Stdout: program, Stderr: program,
			Getenv: func(k string) string { return map[string]string{"VAULT_ADDR": s.URL}[k] },
		})
	}
	done := make(chan int)
	go func() { done <- unseal() }()
	for echoes(t, program) { // until it is being asked for
		runtime.Gosched()
	}
	if _, err := io.WriteString(user, "topsecret\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 || sent != `{"key":"topsecret"}` {
		t.Errorf("code %d, sent %s", code, sent)
	}
	if code := unseal("-non-interactive"); code != 1 {
		t.Errorf("-non-interactive: code %d", code)
	}
	program.Close()
	shown, _ := io.ReadAll(user)
	if strings.Contains(string(shown), "topsecret") || !strings.Contains(string(shown), "Unseal Key (will be hidden): ") {
		t.Errorf("shown: %q", shown)
	}
}

func TestAPasswordTypedOnATerminalDoesNotShow(t *testing.T) {
	var sent string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent = r.URL.Path + " " + string(b)
		_, _ = io.WriteString(w, `{"auth":{"client_token":"new"}}`)
	}))
	defer s.Close()
	program, user := terminal(t)
	done := make(chan int)
	go func() {
		done <- cli.Main(cli.Env{
			Args:  []string{"vault", "login", "-no-store", "-no-print", "-method=userpass", "username=ann"},
			Stdin: program, Stdout: program, Stderr: program,
			Getenv: func(k string) string { return map[string]string{"VAULT_ADDR": s.URL}[k] },
		})
	}()
	for echoes(t, program) { // until it is being asked for
		runtime.Gosched()
	}
	if _, err := io.WriteString(user, "topsecret\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 || sent != `/v1/auth/userpass/login/ann {"password":"topsecret"}` {
		t.Errorf("code %d, sent %s", code, sent)
	}
	program.Close()
	shown, _ := io.ReadAll(user)
	if strings.Contains(string(shown), "topsecret") || !strings.Contains(string(shown), "Password (will be hidden): ") {
		t.Errorf("shown: %q", shown)
	}
}

func echoes(t *testing.T, f *os.File) bool {
	a, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return a.Lflag&unix.ECHO != 0
}
