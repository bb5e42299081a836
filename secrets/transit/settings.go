package transit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fastness-dev/fastness/engine"
)

// A settings row is what the mount is told about all keys.
type settings struct {
	DisableUpsert bool     `json:"disable_upsert,omitempty"`
	CacheSize     int      `json:"cache_size,omitempty"`
	Prefixes      []string `json:"prefixes,omitempty"` // that ciphertexts may begin with, besides Vault's
}

func config(v engine.View) (*settings, error) {
	c, err := engine.Table[settings](v, "").Peek(configPath)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	if c == nil {
		c = &settings{}
	}
	return c, nil
}

func settingRoutes() engine.Routes[Engine] {
	return engine.Routes[Engine]{
		engine.Read("config/keys", (*Engine).readConfig).Doc("Read what holds for all keys."),
		engine.Write("config/keys", (*Engine).writeConfig).Doc("Change what holds for all keys."),
		engine.Read("cache-config", (*Engine).readCache).Doc("Read the size of the cache."),
		engine.Write("cache-config", (*Engine).writeCache).Doc("Note a size of the cache. Keys are cached with all other rows, by memory, whatever it says."),
	}
}

type configAnswer struct {
	DisableUpsert bool     `json:"disable_upsert"`
	Prefixes      []string `json:"ciphertext_prefixes,omitempty"`
}

func (*Engine) readConfig(v engine.View, _ engine.None) (*configAnswer, error) {
	c, err := config(v)
	if err != nil {
		return nil, err
	}
	return &configAnswer{c.DisableUpsert, c.Prefixes}, nil
}

type configRequest struct {
	DisableUpsert *bool     `json:"disable_upsert" doc:"Encrypting with a missing key is an error."`
	Prefixes      *[]string `json:"ciphertext_prefixes" doc:"Words that ciphertexts may begin with besides vault."`
}

func (*Engine) writeConfig(tx engine.Tx, req configRequest) (*configAnswer, error) {
	old, err := config(tx)
	if err != nil {
		return nil, err
	}
	c := *old
	if req.DisableUpsert != nil {
		c.DisableUpsert = *req.DisableUpsert
	}
	if req.Prefixes != nil {
		if slices.ContainsFunc(*req.Prefixes, func(p string) bool { return p == "" || len(p) > 64 || strings.Contains(p, ":") }) {
			return nil, engine.Bad("ciphertext_prefixes must be words of up to 64 bytes without a colon")
		}
		c.Prefixes = *req.Prefixes
	}
	engine.Table[settings](tx, "").Put(configPath, &c)
	return &configAnswer{c.DisableUpsert, c.Prefixes}, nil
}

type cacheAnswer struct {
	Size int `json:"size"`
}

type cacheRequest struct {
	Size int `json:"size" doc:"Number of keys; 0 is no limit."`
}

// minCache is the smallest size that Vault takes.
const minCache = 10

func (*Engine) readCache(v engine.View, _ engine.None) (*cacheAnswer, error) {
	c, err := config(v)
	if err != nil {
		return nil, err
	}
	return &cacheAnswer{c.CacheSize}, nil
}

func (*Engine) writeCache(tx engine.Tx, req cacheRequest) (*cacheAnswer, error) {
	if req.Size != 0 && req.Size < minCache {
		return nil, engine.Bad("size must be 0 or a value greater or equal to %d", minCache)
	}
	old, err := config(tx)
	if err != nil {
		return nil, err
	}
	c := *old
	c.CacheSize = req.Size
	engine.Table[settings](tx, "").Put(configPath, &c)
	return &cacheAnswer{c.CacheSize}, nil
}
