package cli

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/client"
)

// waits says whether the answer of a login is that there is more to prove.
func waits(a *api.Answer) bool {
	return a != nil && a.Auth != nil && a.Auth.ClientToken == "" && a.Auth.MFARequirement != nil
}

// secondFactor asks on the terminal for what a login has to prove besides, and
// gives the answer of its proof. Where nobody can be asked it gives the login's
// own answer.
func (c *call) secondFactor(cl *client.Client, a *api.Answer) (*api.Answer, error) {
	if !waits(a) || c.flags.http.nonInteractive || !isTerminal(c.ui.stdin) {
		return a, nil
	}
	need := a.Auth.MFARequirement
	payload := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(need.Constraints)) {
		m, err := c.chooseMethod(name, need.Constraints[name].Any)
		if err != nil {
			return nil, err
		}
		if _, given := payload[m.ID]; given {
			continue // what satisfies one enforcement is not asked for twice
		}
		code, err := c.passcode(cl, need.RequestID, m)
		if err != nil {
			return nil, err
		}
		payload[m.ID] = []string{code}
	}
	proved, err := public(c, cl, "sys/mfa/validate", object{"mfa_request_id": need.RequestID, "mfa_payload": payload})
	if err != nil {
		return nil, remote("Error proving the second factor: %w", err)
	}
	return proved, nil
}

// public writes without a token.
func public(c *call, cl *client.Client, path string, body object) (*api.Answer, error) {
	return cl.Answer(c.ctx, client.Request{Method: http.MethodPut, Path: path, Body: mustJSON(body), NoToken: true})
}

// chooseMethod is the method to satisfy an enforcement by.
func (c *call) chooseMethod(enforcement string, any []api.MFAMethod) (api.MFAMethod, error) {
	switch len(any) {
	case 0:
		return api.MFAMethod{}, remote("The login needs a second factor for %q, and there is none to prove it by", enforcement)
	case 1:
		return any[0], nil
	}
	for i, m := range any {
		c.ui.errText(fmt.Sprintf("%d: %s %s\n", i+1, m.Type, orElse(m.Name, m.ID)))
	}
	c.ui.errText(fmt.Sprintf("Number of the MFA method for %q: ", enforcement))
	line, err := firstLine(c.ui.stdin)
	if err != nil {
		return api.MFAMethod{}, err
	}
	n, err := strconv.Atoi(line)
	if err != nil || n < 1 || n > len(any) {
		return api.MFAMethod{}, local("want a number from 1 to %d", len(any))
	}
	return any[n-1], nil
}

// passcode asks for the code of a method, after it has given a secret to who has
// none. Of a method without codes it says where to look.
func (c *call) passcode(cl *client.Client, request string, m api.MFAMethod) (string, error) {
	if m.SelfEnrol {
		a, err := public(c, cl, "identity/mfa/method/totp/self-enroll", object{"mfa_method_id": m.ID, "mfa_request_id": request})
		if err != nil {
			return "", remote("Error enrolling in the MFA method %s: %w", m.ID, err)
		}
		c.ui.errText("There is no secret of yours for the MFA method " + orElse(m.Name, m.ID) + " yet. Add this one to your authenticator;\n" +
			"it is kept once a code of it was right:\n\n    " + dataOf(a).text("url") + "\n\n")
	}
	if !m.UsesPasscode {
		c.ui.errText(fmt.Sprintf("Approve the login of the MFA method %q of type %q where it asks you to.\n", orElse(m.Name, m.ID), m.Type))
		return "", nil
	}
	return c.secret(fmt.Sprintf("Passcode of the MFA method %q of type %q (will be hidden): ", orElse(m.Name, m.ID), m.Type))
}

// mustProve says how a login goes on that nobody was asked about.
func (c *call) mustProve(a *api.Answer) error {
	if c.ui.field != "" {
		return local("The login needs a second factor. Prove it with \"%s write sys/mfa/validate\" and the request id %s.",
			c.ui.program, a.Auth.MFARequirement.RequestID)
	}
	a.Warnings = nil // it is said here
	if c.ui.isTable() {
		c.ui.out(strings.TrimRight(wrapText("", "", "A login request was issued that is subject to MFA validation. Please make sure to validate "+
			"the login by sending another request to sys/mfa/validate endpoint.", 78), "\n") + "\n")
	}
	if err := c.ui.secret(a); err != nil || !c.ui.isTable() {
		return err
	}
	c.ui.out("\nFor example, with a file that holds\n\n    " + example(a.Auth.MFARequirement) + "\n\nrun \"" +
		c.ui.program + " write sys/mfa/validate @FILE\".")
	return nil
}

// example is a body that would prove what is needed.
func example(need *api.MFARequirement) string {
	payload := map[string][]string{}
	for _, k := range slices.Sorted(maps.Keys(need.Constraints)) {
		if any := need.Constraints[k].Any; len(any) > 0 {
			payload[any[0].ID] = []string{map[bool]string{true: "PASSCODE", false: ""}[any[0].UsesPasscode]}
		}
	}
	return string(mustJSON(object{"mfa_request_id": need.RequestID, "mfa_payload": payload}))
}

// mfaRows are what a login that waits has to prove, as rows of a table.
func mfaRows(need *api.MFARequirement) [][]string {
	rows := [][]string{{"mfa_request_id", need.RequestID}}
	for _, k := range slices.Sorted(maps.Keys(need.Constraints)) {
		for _, m := range need.Constraints[k].Any {
			at := "mfa_constraint_" + k + "_" + m.Type
			rows = append(rows, []string{at + "_id", m.ID}, []string{at + "_uses_passcode", strconv.FormatBool(m.UsesPasscode)},
				[]string{at + "_name", m.Name})
			if m.SelfEnrol {
				rows = append(rows, []string{at + "_self_enrollment_enabled", "true"})
			}
		}
	}
	return rows
}
