package transit

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/fastness-dev/fastness/engine"
)

func toolRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Compute("hash[/{urlalgorithm}]", (*Engine).hash).Doc("Hash what is sent."),
		engine.Compute("random[/{urlbytes}]", (*Engine).random).Doc("Draw random bytes."),
		engine.Compute("random/{urlsource}/{urlbytes}", (*Engine).random).Doc("Draw random bytes from a source."),
	}
}

type hashRequest struct {
	URLAlgorithm string `path:"urlalgorithm" doc:"Name of the hash function."`
	Algorithm    string `json:"algorithm" default:"sha2-256" doc:"Name of the hash function, if the path has none."`
	Input        string `json:"input" doc:"What is hashed, in base64."`
	Format       string `json:"format" default:"hex" doc:"hex or base64."`
}

type hashAnswer struct {
	Sum string `json:"sum"`
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

func (*Engine) hash(_ engine.View, req hashRequest) (*hashAnswer, error) {
	input, err := bytesOf(req.Input, badInput)
	if err != nil {
		return nil, err
	}
	name := req.Algorithm
	if req.URLAlgorithm != "" {
		name = req.URLAlgorithm
	}
	encode := encoding(req.Format)
	if encode == nil {
		return nil, engine.Bad("unsupported encoding format %s; must be \"hex\" or \"base64\"", req.Format)
	}
	h, ok := hashNamed(name)
	if !ok || h == 0 || name == "sha1" {
		return nil, engine.Bad("unsupported algorithm %s", name)
	}
	sum := h.New()
	sum.Write(input)
	return &hashAnswer{encode(sum.Sum(nil))}, nil
}

// maxRandom is how many random bytes one request may ask for.
const maxRandom = 128 * 1024

type randomRequest struct {
	URLSource string `path:"urlsource" doc:"Where randomness comes from."`
	URLBytes  string `path:"urlbytes" doc:"How many bytes, or a source."`
	Source    string `json:"source" default:"platform" doc:"platform, seal or all, if the path has none."`
	Bytes     int    `json:"bytes" default:"32" doc:"How many bytes, if the path has none."`
	Format    string `json:"format" default:"base64" doc:"hex or base64."`
}

type randomAnswer struct {
	Bytes string `json:"random_bytes"`
}

var sources = []string{"platform", "seal", "all"}

func (*Engine) random(v engine.View, req randomRequest) (*randomAnswer, error) {
	if req.URLSource == "" && slices.Contains(sources, req.URLBytes) {
		req.URLSource, req.URLBytes = req.URLBytes, ""
	}
	n := req.Bytes
	if req.URLBytes != "" {
		var err error
		if n, err = strconv.Atoi(req.URLBytes); err != nil {
			return nil, engine.Bad("error parsing url-set byte count: %s", err)
		}
	}
	encode := encoding(req.Format)
	source := req.Source
	if req.URLSource != "" {
		source = req.URLSource
	}
	switch {
	case n < 1:
		return nil, engine.Bad("'bytes' cannot be less than 1")
	case n > maxRandom:
		return nil, engine.Bad("'bytes' should be less than %d", maxRandom)
	case encode == nil:
		return nil, engine.Bad("unsupported encoding format %q; must be \"hex\" or \"base64\"", req.Format)
	case source != "" && !slices.Contains(sources, source):
		return nil, engine.Bad("unsupported entropy source %q; must be \"platform\" or \"seal\", or \"all\"", source)
	}
	b := make([]byte, n)
	rand.Read(b)
	return &randomAnswer{encode(b)}, nil
}
