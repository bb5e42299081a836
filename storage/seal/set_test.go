package seal_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/storage/seal"
	"github.com/fastness-dev/fastness/storage/seal/sealtest"
)

// An echo is no key service.
type echo struct{ *sealtest.Service }

func (echo) Encrypt(_ context.Context, key []byte) (seal.Blob, error) {
	return seal.Blob{Data: append([]byte("> "), key...)}, nil
}

// A liar gives back another key than it was given.
type liar struct{ *sealtest.Service }

func (liar) Decrypt(context.Context, seal.Blob) ([]byte, error) { return make([]byte, 32), nil }

func TestAServiceThatDoesNotKeepTheKeyIsFoundBeforeItCounts(t *testing.T) {
	wrapRoot := func(key []byte) ([]byte, error) { return []byte("root"), nil }
	for want, w := range map[string]seal.Wrapper{
		"not encrypted: it is no key service":         echo{sealtest.New("kms")},
		"it gave back another key than it was given":  liar{sealtest.New("kms")},
		"open what it has just sealed: it was sealed": forgetful{sealtest.New("kms")},
	} {
		set := seal.NewSet([]*seal.Member{{Name: "kms", Wrapper: w}}, nil)
		made, err := set.Wrap(context.Background(), wrapRoot)
		if len(made) != 0 || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %d wraps and %v, want %s", len(made), err, want)
		}
	}
}

type forgetful struct{ *sealtest.Service }

func (f forgetful) Encrypt(ctx context.Context, key []byte) (seal.Blob, error) {
	defer f.Forget()
	return f.Service.Encrypt(ctx, key)
}

func TestASealThatIsWellAsksItsServiceOnce(t *testing.T) {
	kms, ctx := sealtest.New("kms"), context.Background()
	set := seal.NewSet([]*seal.Member{kms.Member(1)}, nil)
	wrapRoot := func(key []byte) ([]byte, error) { return append([]byte(nil), key...), nil }
	wraps, err := set.Wrap(ctx, wrapRoot)
	if err != nil {
		t.Fatal(err)
	}
	check := func(key, root []byte) error {
		if string(key) != string(root) {
			return errors.New("another root key")
		}
		return nil
	}
	before := kms.Asked()
	next, differ, verdicts := set.Review(ctx, wraps, false, check, wrapRoot)
	if differ || len(next) != 1 || len(verdicts) != 1 || verdicts[0].Err != nil || kms.Asked() != before+1 {
		t.Fatalf("differ %t, %d wraps, verdicts %v, asked %d times", differ, len(next), verdicts, kms.Asked()-before)
	}
}
