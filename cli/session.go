package cli

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/fastness-dev/fastness/client"
	"github.com/fastness-dev/fastness/internal/version"
)

// unwrap, print token, path-help, version, version-history.

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
