package script

import (
	"net/url"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"
)

// code keeps what an authenticator that was given an otpauth URL shows now. A
// step back or forth (as a duration) gives a code that was not used yet.
func code(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: code NAME URL [STEP]")
	}
	u, err := url.Parse(args[1])
	ts.Check(err)
	at := time.Now()
	if len(args) > 2 {
		step, err := time.ParseDuration(args[2])
		ts.Check(err)
		at = at.Add(step)
	}
	shown, err := totp.GenerateCode(u.Query().Get("secret"), at)
	ts.Check(err)
	ts.Setenv(args[0], shown)
}
