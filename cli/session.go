package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/internal/version"
)

// login, unwrap, print token, path-help, version, version-history.

func bindLogin(f *flags) action {
	method := f.text("method", "token", "Auth `method` to log in by.")
	path := f.text("path", "", "`Path` of the method's mount, when it is not the method's name.")
	noStore := f.toggle("no-store", false, "Do not keep the token.")
	noPrint := f.toggle("no-print", false, "Do not show the token.")
	tokenOnly := f.toggle("token-only", false, "Print the token and nothing else; does not keep it.")
	return func(c *call) error {
		if *method != "token" {
			return local("Unknown auth method: %s. This build logs in by token only; write to auth/%s/login to use another.",
				*method, strings.Trim(orElse(*path, *method), "/"))
		}
		if *tokenOnly {
			*noStore = true
			c.ui.field = "token"
		}
		token, err := c.loginToken()
		if err != nil {
			return err
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		cl = cl.With(func(n *client.Config) { n.Token, n.WrapTTL = token, "" })
		a, err := cl.Read(c.ctx, "auth/token/lookup-self", nil)
		if err == nil && a == nil {
			return remote("Error authenticating: the server knows no such token")
		}
		if err != nil {
			return remote("Error authenticating: %w", err)
		}
		return c.loggedIn(asAuth(token, a), !*noStore, !*noPrint)
	}
}

// loginToken is the token to log in with, from the arguments or asked for.
func (c *call) loginToken() (string, error) {
	if err := c.want(0, 1); err != nil {
		return "", err
	}
	arg := c.arg(0)
	switch {
	case arg == "-":
		line, err := firstLine(c.ui.stdin)
		if err == nil && line == "" {
			err = local("no token on standard input")
		}
		return line, err
	case strings.Contains(arg, "="):
		o, err := c.payload(0)
		if err != nil {
			return "", err
		}
		arg = strings.TrimSpace(o.text("token"))
		if arg == "" {
			return "", local("want token=VALUE to log in by token")
		}
	case arg == "":
		return c.secret("Token (will be hidden): ")
	}
	return arg, nil
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// asAuth turns what a token says of itself into what a login answers.
func asAuth(token string, a *api.Answer) *api.Answer {
	d := dataOf(a)
	t := &api.Auth{
		ClientToken: token, Accessor: d.text("accessor"), Policies: d.strings("policies"),
		TokenPolicies: d.strings("policies"), IdentityPolicies: d.strings("identity_policies"),
		Renewable: d["renewable"] == true, EntityID: d.text("entity_id"), TokenType: d.text("type"),
	}
	t.Policies = append(t.Policies, t.IdentityPolicies...)
	if n, ok := d["ttl"].(interface{ Int64() (int64, error) }); ok {
		t.LeaseDuration, _ = n.Int64()
	}
	for k := range d.member("meta") {
		if t.Metadata == nil {
			t.Metadata = map[string]string{}
		}
		t.Metadata[k] = d.member("meta").text(k)
	}
	return &api.Answer{RequestID: a.RequestID, Auth: t, Warnings: a.Warnings}
}

// loggedIn keeps and shows a token.
func (c *call) loggedIn(a *api.Answer, keep, show bool) error {
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

func bindUnwrap(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 1)
		if err != nil {
			return err
		}
		a, err := cl.Unwrap(c.ctx, c.arg(0))
		switch {
		case err != nil:
			return remote("Error unwrapping: %w", err)
		case a == nil && c.ui.field != "":
			return local("Field %q not present in secret", c.ui.field)
		case a == nil:
			return remote("Could not find wrapped response")
		}
		return c.ui.secret(a)
	}
}

func bindPrintToken(*flags) action {
	return func(c *call) error {
		if err := c.want(0, 0); err != nil {
			return err
		}
		token := client.Getenv(c.env.Getenv, "TOKEN")
		if token == "" {
			helper, err := c.tokenHelper()
			if err != nil {
				return err
			}
			if token, err = helper.get(); err != nil {
				return local("Failed to get token: %w", err)
			}
		}
		c.ui.out(token)
		return nil
	}
}

func bindPathHelp(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		var help object
		q := client.Request{Method: http.MethodGet, Path: c.path(0), Query: url.Values{"help": {"1"}}}
		if err := cl.JSON(c.ctx, q, &help); err != nil {
			return remote("Error retrieving help: %w", err)
		}
		if !c.ui.isTable() {
			return c.ui.structured(help)
		}
		text := help.text("help")
		if text == "" {
			text = help.member("data").text("help")
		}
		c.ui.out(strings.TrimSpace(text))
		return nil
	}
}

// version begins as the program is called: whoever runs it as vault parses
// "Vault v" and the level of the API.
func bindVersion(*flags) action {
	return func(c *call) error {
		if err := c.want(0, 0); err != nil {
			return err
		}
		i := version.Get()
		if c.ui.program == "vault" {
			c.ui.out("Vault v" + version.APIVersion + " (Fastness " + i.String() + ")")
			return nil
		}
		c.ui.out("Fastness " + i.String())
		return nil
	}
}

func bindVersionHistory(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.List(c.ctx, "sys/version-history")
		switch {
		case err != nil:
			return remote("Error reading version history: %w", err)
		case a == nil || a.Data == nil:
			return remote("This server keeps no version history")
		case !c.ui.isTable():
			return c.ui.structured(printed(a))
		}
		d := dataOf(a)
		info := d.member("key_info")
		rows := [][]string{{"Version", "Installation Time", "Build Date"}}
		for _, v := range d.strings("keys") {
			one := info.member(v)
			rows = append(rows, []string{v, one.text("timestamp_installed"), one.text("build_date")})
		}
		c.ui.table(rows)
		return nil
	}
}
