package cli

import (
	"strings"

	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/client/login"
)

// The methods that "login" knows, in one table.

// A loginKind is one of them: what it is called, how it is used, and what makes
// it of the arguments. mount is where it is mounted, below auth/.
type loginKind struct {
	name  string
	usage string
	of    func(c *call, mount string, o object) (login.Method, error)
}

func loginMethods() []loginKind {
	return []loginKind{
		{"token", "login [TOKEN | token=TOKEN | -]\n\nThe token is asked for when it is not given.", byToken},
		{"userpass", passwordUsage("userpass"), byPassword("userpass")},
		{"approle", "login -method=approle role_id=ROLE_ID [secret_id=SECRET_ID]\nlogin -method=approle role_id=ROLE_ID " +
			"wrapped_secret_id=TOKEN wrapped_at=auth/approle/role/NAME/secret-id\n\nThe secret-id is asked for when neither it nor a token " +
			"that wraps it is given;\n\"secret_id=\" is for roles that do without.", byAppRole},
		{"ldap", passwordUsage("ldap"), byPassword("ldap")},
		{"okta", passwordUsage("okta"), byPassword("okta")},
		{"radius", passwordUsage("radius"), byPassword("radius")},
		{"github", "login -method=github token=TOKEN\n\nThe token is asked for when it is not given.", byGitHub},
		{"cert", "login -method=cert [name=ROLE] -client-cert=FILE -client-key=FILE", byCert},
	}
}

func loginMethod(name string) *loginKind {
	for _, m := range loginMethods() {
		if m.name == strings.TrimSpace(strings.ToLower(name)) {
			return &m
		}
	}
	return nil
}

func passwordUsage(kind string) string {
	return "login -method=" + kind + " [username=NAME] [password=PASSWORD | password=-]\n\n" +
		"The password is asked for when it is not given, and read from standard input\nwhen that is no terminal. The name is that of the user of this machine unless given."
}

func byToken(c *call, _ string, o object) (login.Method, error) {
	token, err := c.hidden(o, "token", "Token (will be hidden): ")
	return login.Token{Token: strings.TrimSpace(token)}, err
}

func byPassword(kind string) func(*call, string, object) (login.Method, error) {
	return func(c *call, mount string, o object) (login.Method, error) {
		name := c.field(o, "username")
		for _, env := range []string{"LOGNAME", "USER"} {
			name = orElse(name, c.env.Getenv(env))
		}
		if name == "" {
			return nil, local("want username=NAME to log in by %s", kind)
		}
		password, err := c.hidden(o, "password", "Password (will be hidden): ")
		return login.Password{Kind: kind, Mount: mount, Username: name, Password: password}, err
	}
}

func byAppRole(c *call, mount string, o object) (login.Method, error) {
	m := login.AppRole{Mount: mount, RoleID: c.field(o, "role_id"), SecretID: c.field(o, "secret_id"),
		WrappedSecretID: c.field(o, "wrapped_secret_id"), WrappedAt: c.field(o, "wrapped_at")}
	if m.RoleID == "" {
		return nil, local("want role_id=ROLE_ID to log in by approle")
	}
	if _, given := o["secret_id"]; given || m.WrappedSecretID != "" {
		return m, nil
	}
	var err error
	m.SecretID, err = c.secret("Secret ID (will be hidden): ")
	return m, err
}

func byGitHub(c *call, mount string, o object) (login.Method, error) {
	token, err := c.hidden(o, "token", "GitHub Personal Access Token (will be hidden): ")
	return login.GitHub{Mount: mount, Token: token}, err
}

func byCert(c *call, mount string, o object) (login.Method, error) {
	return login.Cert{Mount: mount, Name: c.field(o, "name")}, nil
}

// bindAuthHelp knows types by themselves, and asks the server for that of a
// path.
func bindAuthHelp(*flags) action {
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		at := strings.Trim(c.arg(0), "/")
		m := loginMethod(at)
		if m == nil {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if m, err = c.methodAt(cl, at); err != nil {
				return err
			}
		}
		c.ui.out("Usage: " + strings.ReplaceAll(m.usage, "login ", c.ui.program+" login ") + "\n\n" +
			"For the paths and parameters of the method itself, see: " + c.ui.program + " path-help auth/" + at + "/")
		return nil
	}
}

func (c *call) methodAt(cl *client.Client, at string) (*loginKind, error) {
	a, err := cl.Read(c.ctx, "sys/auth", nil)
	if err != nil {
		return nil, remote("Error listing auth methods: %w", err)
	}
	kind := dataOf(a).member(at + "/").text("type")
	switch m := loginMethod(kind); {
	case kind == "":
		return nil, local("Error: no auth method is enabled at %s/", at)
	case m == nil:
		return nil, local("No way to log in by %s is known to this program; see: %s path-help auth/%s/", kind, c.ui.program, at)
	default:
		return m, nil
	}
}
