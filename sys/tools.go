package sys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"

	"github.com/fastness-dev/fastness/engine"
)

type hashRequest struct {
	URLAlgorithm string `path:"urlalgorithm" doc:"Name of the hash function."`
	Algorithm    string `json:"algorithm" default:"sha2-256" doc:"Name of the hash function, if the path has none."`
	Input        string `json:"input" doc:"What is hashed, in base64."`
	Format       string `json:"format" default:"hex" doc:"hex or base64."`
}

type hashAnswer struct {
	Sum string `json:"sum"`
}

// hashes by the names that requests call them by.
func hashNamed(name string) hash.Hash {
	switch name {
	case "sha2-224":
		return sha256.New224()
	case "sha2-256":
		return sha256.New()
	case "sha2-384":
		return sha512.New384()
	case "sha2-512":
		return sha512.New()
	case "sha3-224":
		return sha3.New224()
	case "sha3-256":
		return sha3.New256()
	case "sha3-384":
		return sha3.New384()
	case "sha3-512":
		return sha3.New512()
	}
	return nil
}

func (s *System) hash(_ engine.View, req hashRequest) (*hashAnswer, error) {
	input, err := base64.StdEncoding.DecodeString(req.Input)
	if err != nil {
		return nil, engine.Bad("unable to decode input as base64: %s", err)
	}
	name := req.Algorithm
	if req.URLAlgorithm != "" {
		name = req.URLAlgorithm
	}
	encode := encoding(req.Format)
	if encode == nil {
		return nil, engine.Bad("unsupported encoding format %s; must be \"hex\" or \"base64\"", req.Format)
	}
	h := hashNamed(name)
	if h == nil {
		return nil, engine.Bad("unsupported algorithm %s", name)
	}
	h.Write(input)
	return &hashAnswer{encode(h.Sum(nil))}, nil
}

func encoding(name string) func([]byte) string {
	switch name {
	case "hex":
		return hex.EncodeToString
	case "base64":
		return base64.StdEncoding.EncodeToString
	}
	return nil
}

// maxRandom is how many random bytes one request may ask for.
const maxRandom = 128 * 1024

type randomRequest struct {
	URLSource string `path:"urlsource" doc:"Where randomness comes from."`
	URLBytes  string `path:"urlbytes" doc:"How many bytes."`
	Source    string `json:"source" default:"platform" doc:"platform, seal or all, if the path has none."`
	Bytes     int    `json:"bytes" default:"32" doc:"How many bytes, if the path has none."`
	Format    string `json:"format" default:"base64" doc:"hex or base64."`
}

type randomAnswer struct {
	Bytes string `json:"random_bytes"`
}

func (s *System) random(v engine.View, req randomRequest) (*randomAnswer, error) {
	n := req.Bytes
	if req.URLBytes != "" {
		var err error
		if n, err = strconv.Atoi(req.URLBytes); err != nil {
			return nil, engine.Bad("error parsing url-set byte count: %s", err)
		}
	}
	switch {
	case n < 1:
		return nil, engine.Bad("'bytes' cannot be less than 1")
	case n > maxRandom:
		return nil, engine.Bad("'bytes' should be less than %d", maxRandom)
	}
	encode := encoding(req.Format)
	if encode == nil {
		return nil, engine.Bad("unsupported encoding format %q; must be \"hex\" or \"base64\"", req.Format)
	}
	source := req.Source
	if req.URLSource != "" {
		source = req.URLSource
	}
	switch source {
	case "", "platform":
	case "seal", "all":
		v.Warn("no seal/entropy augmentation available, using platform entropy source")
	default:
		return nil, engine.Bad("unsupported entropy source %q; must be \"platform\" or \"seal\", or \"all\"", source)
	}
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("draw random bytes: %w", err)
	}
	return &randomAnswer{encode(b)}, nil
}

func toolRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Compute("tools/hash[/{urlalgorithm}]", (*System).hash).Doc("Hash what is sent."),
		engine.Compute("tools/random[/{urlbytes}]", (*System).random).Doc("Draw random bytes."),
		engine.Compute("tools/random/{urlsource:platform|seal|all}[/{urlbytes}]", (*System).random).Doc("Draw random bytes from a source."),
	}
}
