// Package azurekeyvault is a seal whose key is kept by Azure Key Vault or Managed
// HSM: an RSA key, asked over REST to wrap (RSA-OAEP-256) and unwrap.
//
// Credentials are those of azidentity: a client secret from the stanza or the
// environment, else workload identity, managed identity or the Azure CLI's.
package azurekeyvault

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/fastness-dev/fastness/storage/seal"
)

const (
	apiVersion = "7.4"
	algorithm  = "RSA-OAEP-256"
)

// Kind is the seal "azurekeyvault".
func Kind() seal.Kind {
	return seal.Kind{Type: "azurekeyvault", Open: open}
}

type wrapper struct {
	http       *http.Client
	credential azcore.TokenCredential
	vault      string // URL
	key        string
	scope      string
}

// clouds are Azure's by the names that the stanza takes.
var clouds = map[string]struct {
	cloud    cloud.Configuration
	resource string
}{
	"AZUREPUBLICCLOUD":       {cloud.AzurePublic, "vault.azure.net"},
	"AZURECHINACLOUD":        {cloud.AzureChina, "vault.azure.cn"},
	"AZUREUSGOVERNMENTCLOUD": {cloud.AzureGovernment, "vault.usgovcloudapi.net"},
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	environment := s.Default("environment", "AZUREPUBLICCLOUD", "AZURE_ENVIRONMENT")
	at, known := clouds[strings.ToUpper(environment)]
	if !known {
		s.Fail("environment", "must be AZUREPUBLICCLOUD, AZURECHINACLOUD or AZUREUSGOVERNMENTCLOUD")
	}
	resource := s.Default("resource", at.resource, "AZURE_AD_RESOURCE")
	w := &wrapper{http: &http.Client{}, key: s.Need("key_name", "VAULT_AZUREKEYVAULT_KEY_NAME"), scope: "https://" + resource + "/.default"}
	if w.vault = s.Text("endpoint"); w.vault == "" {
		w.vault = "https://" + s.Need("vault_name", "VAULT_AZUREKEYVAULT_VAULT_NAME") + "." + resource
	}
	w.vault = strings.TrimRight(w.vault, "/")
	tenant, client, secret := s.Text("tenant_id", "AZURE_TENANT_ID"), s.Text("client_id", "AZURE_CLIENT_ID"), s.Text("client_secret", "AZURE_CLIENT_SECRET")
	if secret != "" && (tenant == "" || client == "") {
		s.Fail("client_secret", "needs tenant_id and client_id")
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	var err error
	if w.credential, err = identity(azcore.ClientOptions{Cloud: at.cloud}, tenant, client, secret); err != nil {
		return nil, fmt.Errorf("find Azure credentials: %w", err)
	}
	return w, nil
}

// identity dials nobody.
func identity(o azcore.ClientOptions, tenant, client, secret string) (azcore.TokenCredential, error) {
	if secret != "" {
		return azidentity.NewClientSecretCredential(tenant, client, secret, &azidentity.ClientSecretCredentialOptions{ClientOptions: o})
	}
	standard, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: o, TenantID: tenant})
	if client == "" || err != nil {
		return standard, err
	}
	assigned, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: o, ID: azidentity.ClientID(client)})
	if err != nil {
		return nil, err
	}
	return azidentity.NewChainedTokenCredential([]azcore.TokenCredential{assigned, standard}, nil)
}

func (w *wrapper) Type() string   { return "azurekeyvault" }
func (w *wrapper) Target() string { return w.vault + "/keys/" + w.key }
func (w *wrapper) Close() error   { return nil }

// versions are what Key Vault gives: letters and digits. One comes out of the
// store, so nothing else may get into a URL.
var versions = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)

// Encrypt finds out the newest version of the key, since the one that wraps is
// the one that must unwrap.
func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	var newest struct {
		Key struct {
			ID string `json:"kid"`
		} `json:"key"`
	}
	if err := w.ask(ctx, "read the key", http.MethodGet, "", nil, &newest); err != nil {
		return seal.Blob{}, err
	}
	version := newest.Key.ID[strings.LastIndexByte(newest.Key.ID, '/')+1:]
	if !versions.MatchString(version) {
		return seal.Blob{}, errors.New("read the key: Key Vault answered without a version: is vault_name right?")
	}
	got, err := w.turn(ctx, "wrapkey", version, key)
	if err != nil {
		return seal.Blob{}, err
	}
	return seal.Blob{KeyID: version, Data: got}, nil
}

func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	if !versions.MatchString(b.KeyID) {
		return nil, errors.New("the stored key names no version of a key: unseal with recovery keys, and it is stored anew")
	}
	return w.turn(ctx, "unwrapkey", b.KeyID, b.Data)
}

type value struct {
	Algorithm string `json:"alg,omitempty"`
	Value     string `json:"value"` // base64url
}

func (w *wrapper) turn(ctx context.Context, what, version string, in []byte) ([]byte, error) {
	var got value
	err := w.ask(ctx, what, http.MethodPost, "/"+version+"/"+what, value{algorithm, base64.RawURLEncoding.EncodeToString(in)}, &got)
	if err != nil {
		return nil, err
	}
	out, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(got.Value, "="))
	if err != nil || len(out) == 0 {
		return nil, errors.New(what + ": Key Vault answered without a value")
	}
	return out, nil
}

func (w *wrapper) ask(ctx context.Context, what, method, below string, in, out any) error {
	c := seal.Call{Method: method, URL: w.Target() + below + "?api-version=" + apiVersion, Body: in, Sign: w.sign}
	err := seal.Ask(ctx, w.http, c, out)
	var refused *seal.Refusal
	if errors.As(err, &refused) {
		return fmt.Errorf("%s of %s: %s", what, w.Target(), explain(refused))
	}
	if err != nil {
		return fmt.Errorf("%s of %s: %w", what, w.Target(), err)
	}
	return nil
}

func (w *wrapper) sign(ctx context.Context, r *http.Request, _ []byte) error {
	token, err := w.credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{w.scope}})
	if err != nil {
		said, _, _ := strings.Cut(err.Error(), "\n")
		return fmt.Errorf("no token from Entra ID: %s: are tenant_id, client_id and client_secret right, or is there a managed identity?", said)
	}
	r.Header.Set("Authorization", "Bearer "+token.Token)
	return nil
}

func explain(r *seal.Refusal) string {
	var said struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	_ = json.Unmarshal(r.Body, &said) // what is no JSON says nothing
	switch r.Status {
	case http.StatusForbidden:
		return "the identity may not use the key: give it the role Key Vault Crypto Service Encryption User, or get, wrapKey and unwrapKey (" + said.Error.Message + ")"
	case http.StatusNotFound:
		return "there is no such key or version: are vault_name and key_name right, or was the version that sealed this cluster deleted?"
	case http.StatusUnauthorized:
		return "the token was refused: do tenant_id and environment belong to this vault?"
	case http.StatusBadRequest:
		return "refused: " + said.Error.Message + "; is this the RSA key that sealed this cluster?"
	}
	return fmt.Sprintf("status %d %s: %s", r.Status, said.Error.Code, said.Error.Message)
}
