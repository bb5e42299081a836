package cli

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/client"
)

// httpFlags are the flags of every command that speaks to a server. They win
// over the environment, which is read when a client is made.
type httpFlags struct {
	address, agent, caCert, caPath, clientCert, clientKey, serverName string
	namespace, ns                                                     string
	skipVerify, noRedirects, policyOverride                           bool
	wrapTTL                                                           time.Duration
	mfa, headers                                                      *[]string
	unlockKey                                                         string
	nonInteractive, curl, policy                                      bool
}

func (h *httpFlags) bind(f *flags) {
	s := f.set
	s.StringVar(&h.address, "address", "", "Address of the server. Also VAULT_ADDR; the default is "+client.DefaultAddress+".")
	s.StringVar(&h.agent, "agent-address", "", "Address of an agent to go through. Also VAULT_AGENT_ADDR.")
	s.StringVar(&h.caCert, "ca-cert", "", "`File` of PEM certificate authorities to trust. Also VAULT_CACERT.")
	s.StringVar(&h.caPath, "ca-path", "", "`Directory` of PEM certificate authorities to trust. Also VAULT_CAPATH.")
	s.StringVar(&h.clientCert, "client-cert", "", "`File` of the PEM certificate to present. Also VAULT_CLIENT_CERT.")
	s.StringVar(&h.clientKey, "client-key", "", "`File` of the key to -client-cert. Also VAULT_CLIENT_KEY.")
	s.StringVar(&h.serverName, "tls-server-name", "", "Name to expect in the server's certificate. Also VAULT_TLS_SERVER_NAME.")
	s.BoolVar(&h.skipVerify, "tls-skip-verify", false, "Accept any certificate. Not for production. Also VAULT_SKIP_VERIFY.")
	s.StringVar(&h.namespace, "namespace", "", "Namespace to work in. Also VAULT_NAMESPACE.")
	s.StringVar(&h.ns, "ns", "", "Short for -namespace.")
	s.BoolVar(&h.noRedirects, "disable-redirects", false, "Do not follow a redirect to the active node.")
	s.Var((*durationValue)(&h.wrapTTL), "wrap-ttl", "Wrap the answer in a token that lives this `long`. Also VAULT_WRAP_TTL.")
	h.mfa = f.list("mfa", "A multi-factor `credential`. May be repeated. Also VAULT_MFA.")
	s.BoolVar(&h.policyOverride, "policy-override", false, "Override soft-mandatory policies.")
	h.headers = f.list("header", "Further request header, `name=value`. May be repeated.")
	s.StringVar(&h.unlockKey, "unlock-key", "", "Key to a namespace that is locked.")
	s.BoolVar(&h.nonInteractive, "non-interactive", false, "Never ask on the terminal.")
	s.BoolVar(&h.curl, "output-curl-string", false, "Print the request as a curl command instead of sending it.")
	s.BoolVar(&h.policy, "output-policy", false, "Print the policy that the request needs instead of sending it.")
}

// clientFor is client for a command with so many arguments; see want.
func (c *call) clientFor(least, most int) (*client.Client, error) {
	if err := c.want(least, most); err != nil {
		return nil, err
	}
	return c.client()
}

// client is a client as flags, environment and token helper say.
func (c *call) client() (*client.Client, error) {
	conf, err := client.FromEnv(c.env.Getenv)
	if err != nil {
		return nil, local("%w", err)
	}
	if err := c.flags.http.apply(c, &conf); err != nil {
		return nil, err
	}
	if conf.Token == "" {
		helper, err := c.tokenHelper()
		if err != nil {
			return nil, err
		}
		if conf.Token, err = helper.get(); err != nil {
			return nil, local("Failed to get token: %w", err)
		}
	}
	c.conf = conf
	if strings.ContainsFunc(conf.Token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, local("the token holds characters that cannot be printed and cannot be used")
	}
	cl, err := client.New(conf)
	if err != nil {
		return nil, local("%w", err)
	}
	return cl, nil
}

func (h *httpFlags) apply(c *call, conf *client.Config) error {
	for _, set := range []struct {
		value string
		to    *string
	}{
		{h.address, &conf.Address}, {h.agent, &conf.Address},
		{h.caCert, &conf.CACert}, {h.caPath, &conf.CAPath},
		{h.clientCert, &conf.ClientCert}, {h.clientKey, &conf.ClientKey},
		{h.serverName, &conf.ServerName},
		{h.ns, &conf.Namespace}, {h.namespace, &conf.Namespace},
		{seconds(h.wrapTTL), &conf.WrapTTL},
	} {
		if set.value != "" {
			*set.to = set.value
		}
	}
	if h.caCert != "" || h.caPath != "" {
		conf.CACertBytes = ""
	}
	if conf.Namespace != "" {
		conf.Namespace = asMount(conf.Namespace)
	}
	if c.flags.isSet("tls-skip-verify") {
		conf.SkipVerify = h.skipVerify
	}
	if c.flags.isSet("disable-redirects") {
		conf.DisableRedirects = h.noRedirects
	}
	conf.PolicyOverride = h.policyOverride
	if len(*h.mfa) > 0 {
		conf.MFA = *h.mfa
	}
	conf.Preview = h.curl || h.policy
	return h.applyHeaders(c, conf)
}

func (h *httpFlags) applyHeaders(c *call, conf *client.Config) error {
	if conf.Headers == nil {
		conf.Headers = http.Header{}
	}
	for _, pair := range *h.headers {
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return local("-header %q: want name=value", pair)
		}
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Vault-") {
			c.ui.warn(fmt.Sprintf("Ignoring Header Key starting by 'X-Vault-': %s", name))
			continue
		}
		conf.Headers.Add(name, value)
	}
	if h.unlockKey != "" {
		conf.Headers.Set("X-Vault-Unlock-Key", h.unlockKey)
	}
	return nil
}

// live is the client even when the command itself is only to be shown: for the
// questions that must be asked to know what to show.
func live(cl *client.Client) *client.Client {
	return cl.With(func(n *client.Config) { n.Preview, n.WrapTTL = false, "" })
}
