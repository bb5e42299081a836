// Package awskms is a seal whose key is kept by AWS KMS: a symmetric key, asked
// by Encrypt and Decrypt.
//
// Credentials are found as the AWS SDK finds them (stanza, environment, shared
// files, web identity, container, instance), and never shown.
package awskms

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/fastness-dev/fastness/storage/seal"
)

// purpose is told to KMS and must be told again to decrypt. CloudTrail shows it.
var purpose = map[string]string{"fastness": "seal key"}

// Kind is the seal "awskms".
func Kind() seal.Kind {
	return seal.Kind{Type: "awskms", Open: open}
}

type wrapper struct {
	client *kms.Client
	key    string
	target string
}

func open(s *seal.Settings, _ *slog.Logger) (seal.Wrapper, error) {
	key := s.Need("kms_key_id", "VAULT_AWSKMS_SEAL_KEY_ID")
	region := s.Default("region", "us-east-1", "AWS_REGION", "AWS_DEFAULT_REGION")
	endpoint := s.Text("endpoint", "AWS_KMS_ENDPOINT")
	options := []func(*config.LoadOptions) error{config.WithRegion(region)}
	if id := s.Text("access_key"); id != "" {
		options = append(options, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(id, s.Need("secret_key"), s.Text("session_token"))))
	}
	if file := s.Text("shared_creds_filename"); file != "" {
		options = append(options, config.WithSharedCredentialsFiles([]string{file}))
	}
	if profile := s.Text("shared_creds_profile"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	role, session, token := s.Text("role_arn"), s.Default("role_session_name", "fastness"), s.Text("web_identity_token_file")
	if token != "" && role == "" {
		s.Fail("web_identity_token_file", "needs role_arn: the role to take with it")
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	// It reads files and dials nobody.
	c, err := config.LoadDefaultConfig(context.Background(), options...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	assume(&c, role, session, token)
	client := kms.NewFromConfig(c, func(o *kms.Options) {
		if endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	return &wrapper{client, key, strings.TrimSpace(region + " " + key + " " + endpoint)}, nil
}

// assume takes a role, if one is named.
func assume(c *aws.Config, role, session, token string) {
	switch {
	case role == "":
	case token != "":
		c.Credentials = aws.NewCredentialsCache(stscreds.NewWebIdentityRoleProvider(sts.NewFromConfig(*c), role,
			stscreds.IdentityTokenFile(token), func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = session }))
	default:
		c.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(sts.NewFromConfig(*c), role,
			func(o *stscreds.AssumeRoleOptions) { o.RoleSessionName = session }))
	}
}

func (w *wrapper) Type() string   { return "awskms" }
func (w *wrapper) Target() string { return w.target }
func (w *wrapper) Close() error   { return nil }

func (w *wrapper) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	out, err := w.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &w.key, Plaintext: key, EncryptionContext: purpose})
	if err != nil {
		return seal.Blob{}, w.explain("kms:Encrypt", err)
	}
	return seal.Blob{KeyID: aws.ToString(out.KeyId), Data: out.CiphertextBlob}, nil
}

// Decrypt names the configured key, so that storage cannot make KMS decrypt
// under another's.
func (w *wrapper) Decrypt(ctx context.Context, b seal.Blob) ([]byte, error) {
	out, err := w.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &w.key, CiphertextBlob: b.Data, EncryptionContext: purpose})
	if err != nil {
		err = w.explain("kms:Decrypt", err)
		if b.KeyID != "" {
			err = fmt.Errorf("%w (the root key was sealed under %s)", err, b.KeyID)
		}
		return nil, err
	}
	return out.Plaintext, nil
}

// cures says what to do about KMS's error codes.
var cures = map[string]string{
	"NotFoundException":           "there is no such key: are kms_key_id, region and account right?",
	"AccessDeniedException":       "the credentials may not use the key: allow kms:Encrypt, kms:Decrypt and kms:DescribeKey on it",
	"DisabledException":           "the key is disabled: enable it",
	"KMSInvalidStateException":    "the key is being deleted or not ready: cancel its deletion",
	"IncorrectKeyException":       "kms_key_id is not the key that sealed this cluster: put the old one back, or keep it in a stanza with disabled = \"true\" and migrate",
	"InvalidCiphertextException":  "kms_key_id is not the key that sealed this cluster, or the stored key is damaged: unseal with recovery keys",
	"UnrecognizedClientException": "the access key is unknown: is it deleted, or of another account?",
	"InvalidSignatureException":   "the secret key does not fit the access key, or the clock is wrong",
	"ExpiredTokenException":       "the credentials have expired: renew them",
}

func (w *wrapper) explain(call string, err error) error {
	var refused smithy.APIError
	if !errors.As(err, &refused) {
		return fmt.Errorf("%s on %s: KMS does not answer or no credentials were found: %w", call, w.key, err)
	}
	cure := cures[refused.ErrorCode()]
	if cure == "" {
		cure = refused.ErrorMessage()
	}
	return fmt.Errorf("%s on %s: %s: %s", call, w.key, refused.ErrorCode(), cure)
}
