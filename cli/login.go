package cli

import (
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

func bindLogin(f *flags) action {
	method := f.text("method", "token", "Auth `method` to log in by.")
	path := f.text("path", "", "`Path` of the method's mount, when it is not the method's name.")
	noStore := f.toggle("no-store", false, "Do not keep the token.")
	noPrint := f.toggle("no-print", false, "Do not show the token.")
	tokenOnly := f.toggle("token-only", false, "Print the token and nothing else; does not keep it.")
	return func(c *call) error {
		m := loginMethod(*method)
		if m == nil {
			return local("Unknown auth method: %s. Use \"%s auth list\" to see what the server has, and \"write auth/%s/login\" "+
				"for what this program does not know.", *method, c.ui.program, strings.Trim(orElse(*path, *method), "/"))
		}
		if *tokenOnly {
			*noStore = true
			c.ui.field = "token"
		}
		fields, err := c.loginFields(m)
		if err != nil {
			return err
		}
		how, err := m.of(c, strings.Trim(orElse(*path, m.name), "/"), fields)
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		a, err := how.Login(c.ctx, cl)
		if err != nil {
			return remote("Error authenticating: %w", err)
		}
		if a, err = c.secondFactor(cl, a); err != nil {
			return err
		}
		if waits(a) {
			return c.mustProve(a)
		}
		return c.loggedIn(a, !*noStore, !*noPrint)
	}
}

// loginFields are what the arguments say. A token may stand alone.
func (c *call) loginFields(m *loginKind) (object, error) {
	if m.name != "token" {
		return c.payload(0)
	}
	if err := c.want(0, 1); err != nil {
		return nil, err
	}
	switch arg := c.arg(0); {
	case arg == "-":
		line, err := firstLine(c.ui.stdin)
		if err != nil || line == "" {
			return nil, orLocal(err, "no token on standard input")
		}
		return object{"token": line}, nil
	case strings.Contains(arg, "="):
		o, err := c.payload(0)
		if err == nil && strings.TrimSpace(o.text("token")) == "" {
			err = local("want token=VALUE to log in by token")
		}
		return o, err
	case arg != "":
		return object{"token": arg}, nil
	}
	return object{}, nil
}

// field is what the arguments give a name. Of standard input the end of the line
// is left out, of a file nothing, since "write" keeps that too.
func (c *call) field(o object, name string) string {
	if slices.Contains(c.args, name+"=-") {
		return strings.TrimRight(o.text(name), "\r\n")
	}
	return o.text(name)
}

// hidden is a field that is asked for when the arguments do not have it.
func (c *call) hidden(o object, name, prompt string) (string, error) {
	if s := c.field(o, name); s != "" {
		return s, nil
	}
	return c.secret(prompt)
}

func orLocal(err error, text string) error {
	if err != nil {
		return err
	}
	return local("%s", text)
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// loggedIn keeps and shows a token.
func (c *call) loggedIn(a *api.Answer, keep, show bool) error {
	if a.Auth == nil || a.Auth.ClientToken == "" {
		return c.ui.secret(a) // wrapped for somebody, or there is more to prove
	}
	if keep {
		helper, err := c.tokenHelper()
		if err == nil {
			err = helper.store(a.Auth.ClientToken)
		}
		if err != nil {
			return local("Error storing token: %w. The login itself worked; use -no-store to go without keeping the token.", err)
		}
		if client.Getenv(c.env.Getenv, "TOKEN") != "" {
			c.ui.warn(wrapText("", "", "WARNING! The VAULT_TOKEN environment variable is set! The value of this variable "+
				"will take precedence; if this is unwanted please unset VAULT_TOKEN or update its value accordingly.", 78) + "\n")
		}
	}
	if !show {
		return nil
	}
	if c.ui.field == "" && c.ui.isTable() {
		c.ui.out("Success! You are now authenticated. " + map[bool]string{
			true: "The token information displayed below\nis already stored in the token helper. You do NOT need to run \"" + c.ui.program +
				" login\"\nagain. Future requests will automatically use this token.\n",
			false: "The token was not stored in the token\nhelper. Set the VAULT_TOKEN environment variable or pass the token below with\neach request.\n",
		}[keep])
	}
	return c.ui.secret(a)
}
