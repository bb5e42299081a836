package cli

import (
	"io"
	"os"
	"strings"

	"github.com/hashicorp/hcl/hcl/printer"
)

func bindPolicyList(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(0, 0)
		if err != nil {
			return err
		}
		a, err := cl.List(c.ctx, "sys/policies/acl")
		if err != nil {
			return remote("Error listing policies: %w", err)
		}
		names := dataOf(a).strings("keys")
		if !c.ui.isTable() {
			return c.ui.structured(names)
		}
		for _, n := range names {
			c.ui.out(n)
		}
		return nil
	}
}

func policyName(c *call) string { return strings.ToLower(c.arg(0)) }

func bindPolicyRead(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		a, err := cl.Read(c.ctx, "sys/policies/acl/"+policyName(c), nil)
		if err != nil {
			return remote("Error reading policy named %s: %w", policyName(c), err)
		}
		rules := dataOf(a).text("policy")
		switch {
		case a == nil || rules == "":
			return remote("No policy named: %s", policyName(c))
		case !c.ui.isTable():
			return c.ui.structured(object{"policy": rules})
		}
		c.ui.out(strings.TrimSpace(rules))
		return nil
	}
}

func bindPolicyWrite(*flags) action {
	return func(c *call) error {
		if err := c.want(2, 2); err != nil {
			return err
		}
		var text []byte
		var err error
		if c.arg(1) == "-" {
			text, err = io.ReadAll(c.ui.stdin)
		} else {
			text, err = os.ReadFile(c.arg(1))
		}
		if err != nil {
			return local("Error opening policy file: %w", err)
		}
		cl, err := c.client()
		if err != nil {
			return err
		}
		if _, err := put(c, cl, "sys/policies/acl/"+policyName(c), object{"policy": string(text)}); err != nil {
			return remote("Error uploading policy: %w", err)
		}
		c.ui.success("Success! Uploaded policy: %s", policyName(c))
		return nil
	}
}

func bindPolicyDelete(*flags) action {
	return func(c *call) error {
		cl, err := c.clientFor(1, 1)
		if err != nil {
			return err
		}
		if _, err := cl.Delete(c.ctx, "sys/policies/acl/"+policyName(c), nil); err != nil {
			return remote("Error deleting %s: %w", policyName(c), err)
		}
		c.ui.success("Success! Deleted policy: %s", policyName(c))
		return nil
	}
}

// policy fmt works on the file alone; whether the server takes the policy is
// not its business.
func bindPolicyFmt(*flags) action {
	return func(c *call) error {
		if err := c.want(1, 1); err != nil {
			return err
		}
		path := c.arg(0)
		info, err := os.Stat(path)
		if err != nil {
			return local("Error opening policy file: %w", err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return local("Error reading policy file: %w", err)
		}
		pretty, err := printer.Format(text)
		if err != nil {
			return local("Error formatting policy: %w", err)
		}
		if err := os.WriteFile(path, append([]byte(strings.TrimSpace(string(pretty))), '\n'), info.Mode().Perm()); err != nil {
			return local("Error writing policy file: %w", err)
		}
		c.ui.success("Success! Formatted policy: %s", path)
		return nil
	}
}
