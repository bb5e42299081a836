package transit

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// prefix begins every ciphertext, signature and MAC: vault:v3:
const prefix = "vault:v"

// appendText writes what version n made.
func appendText(b []byte, n int, made []byte, enc *base64.Encoding) []byte {
	b = append(b, prefix...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, ':')
	return enc.AppendEncode(b, made)
}

// textOf is appendText for one.
func textOf(n int, made []byte, enc *base64.Encoding) string {
	b := make([]byte, 0, len(prefix)+12+enc.EncodedLen(len(made)))
	return string(appendText(b, n, made, enc))
}

// cutText is the version in a text and what it made, still encoded. what names
// it: ciphertext, signature, HMAC. also are further prefixes that are taken.
func cutText(s, what string, also []string) (n int, encoded string, err error) {
	rest, ok := strings.CutPrefix(s, prefix)
	for i := 0; !ok && i < len(also); i++ {
		rest, ok = strings.CutPrefix(s, also[i]+":v")
	}
	if !ok {
		return 0, "", engine.Bad("invalid %s: no prefix", what)
	}
	number, encoded, ok := strings.Cut(rest, ":")
	if !ok {
		return 0, "", engine.Bad("invalid %s: wrong number of fields", what)
	}
	n, err = strconv.Atoi(number)
	if err != nil || n < 0 {
		return 0, "", engine.Bad("invalid %s: version number could not be decoded", what)
	}
	return n, encoded, nil
}

// bytesOf reads base64; without a label, the sentence is that of Go's decoder.
func bytesOf(s, label string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, engine.Bad("%s%s", label, err)
	}
	return b, nil
}

const badInput = "unable to decode input as base64: "

func encodeVersion(e *version) ([]byte, error) {
	b, err := json.Marshal(e) //nolint:gosec // for storage, which seals it
	if err != nil {
		return nil, fmt.Errorf("encode key version: %w", err)
	}
	return b, nil
}
