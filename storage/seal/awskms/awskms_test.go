package awskms

import (
	"errors"
	"strings"
	"testing"

	"github.com/aws/smithy-go"
)

// What KMS itself does is tested against moto, in test/seals.
func TestEachRefusalNamesItsCure(t *testing.T) {
	w := &wrapper{key: "k"}
	for code, want := range map[string]string{"DisabledException": "enable it", "IncorrectKeyException": "is not the key that sealed this cluster", "Other": "as KMS says"} {
		err := w.explain("kms:Decrypt", &smithy.GenericAPIError{Code: code, Message: "as KMS says"})
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "kms:Decrypt on k: "+code) {
			t.Errorf("%s is told as %v", code, err)
		}
	}
	if err := w.explain("kms:Decrypt", errors.New("dial")); !strings.Contains(err.Error(), "KMS does not answer or no credentials were found: dial") {
		t.Error(err)
	}
}
