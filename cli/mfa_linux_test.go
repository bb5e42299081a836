package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/cli"
)

// On a terminal a login goes on by itself: who has no secret gets one, of several
// methods one is chosen, the code is asked for and does not show.
func TestALoginAsksForTheSecondFactor(t *testing.T) {
	var sent []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent = append(sent, r.URL.Path+" "+string(b))
		if r.Header.Get("X-Vault-Token") != "" {
			t.Errorf("%s was sent a token", r.URL.Path)
		}
		switch r.URL.Path {
		case "/v1/auth/userpass/login/ann":
			_, _ = io.WriteString(w, `{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"r","mfa_constraints":{
				"a":{"any":[{"type":"duo","id":"d"},{"type":"totp","id":"t","uses_passcode":true,"name":"phone","self_enrollment_enabled":true}]},
				"b":{"any":[{"type":"okta","id":"o"}]}}}}}`)
		case "/v1/identity/mfa/method/totp/self-enroll":
			_, _ = io.WriteString(w, `{"data":{"url":"otpauth://totp/x"}}`)
		default:
			_, _ = io.WriteString(w, `{"auth":{"client_token":"new"}}`)
		}
	}))
	defer s.Close()
	program, user := terminal(t)
	done := make(chan int)
	go func() {
		done <- cli.Main(cli.Env{
			Args:  []string{"vault", "login", "-no-store", "-method=userpass", "username=ann", "password=p"},
			Stdin: program, Stdout: program, Stderr: program,
			Getenv: func(k string) string { return map[string]string{"VAULT_ADDR": s.URL}[k] },
		})
	}()
	if _, err := io.WriteString(user, "2\n"); err != nil {
		t.Fatal(err)
	}
	for echoes(t, program) { // until the code is being asked for
		runtime.Gosched()
	}
	if _, err := io.WriteString(user, "123456\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-done; code != 0 {
		t.Errorf("code %d", code)
	}
	program.Close()
	out, _ := io.ReadAll(user)
	shown := string(out)
	for _, want := range []string{`1: duo d`, `Number of the MFA method for "a": `, "otpauth://totp/x", `"phone" of type "totp" (will be hidden): `,
		`Approve the login of the MFA method "o" of type "okta"`, "new"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in %q", want, shown)
		}
	}
	if strings.Contains(shown, "123456") {
		t.Errorf("the code shows in %q", shown)
	}
	if want := `/v1/sys/mfa/validate {"mfa_payload":{"o":[""],"t":["123456"]},"mfa_request_id":"r"}`; len(sent) != 3 || sent[2] != want {
		t.Errorf("sent %q, want at last %q", sent, want)
	}
}
