package sealtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"testing"

	"github.com/fastness-dev/fastness/storage/seal"
)

// Open opens a seal by the settings of its stanza, and closes it with the test.
func Open(t testing.TB, kind seal.Kind, settings map[string]string) seal.Wrapper {
	t.Helper()
	w, err := kind.Open(seal.NewSettings(settings, nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// Exercise checks what every wrapper promises, on a service that works.
func Exercise(t testing.TB, w seal.Wrapper) {
	t.Helper()
	ctx := context.Background()
	key := make([]byte, 32)
	if _, err := io.ReadFull(rand.Reader, key); err != nil {
		t.Fatal(err)
	}
	b, err := w.Encrypt(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Data) == 0 || bytes.Contains(b.Data, key) {
		t.Fatal("what is stored holds the seal key in the clear")
	}
	if b.KeyID == "" {
		t.Error("the key is not named")
	}
	got, err := w.Decrypt(ctx, b)
	if err != nil || !bytes.Equal(got, key) {
		t.Fatalf("another key came back, or none: %v", err)
	}
	for what, damage := range map[string]func([]byte) []byte{
		"a flipped bit": func(d []byte) []byte { d[len(d)*2/3] ^= 1; return d },
		"half of it":    func(d []byte) []byte { return d[:len(d)/2] },
		"nothing":       func([]byte) []byte { return nil },
	} {
		if got, err := w.Decrypt(ctx, seal.Blob{KeyID: b.KeyID, Data: damage(bytes.Clone(b.Data))}); err == nil && bytes.Equal(got, key) {
			t.Errorf("%s was opened as if it were whole", what)
		} else if err == nil {
			t.Errorf("%s was opened to something", what)
		}
	}
}

// Refused checks that a seal does not open by settings, and says why.
func Refused(t testing.TB, kind seal.Kind, settings map[string]string) string {
	t.Helper()
	w, err := kind.Open(seal.NewSettings(settings, nil), slog.New(slog.DiscardHandler))
	if err == nil {
		_ = w.Close()
		t.Fatalf("%s opened with settings that lack something", kind.Type)
	}
	return err.Error()
}
