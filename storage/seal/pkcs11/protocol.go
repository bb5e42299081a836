package pkcs11

// The plugin reads one Request a line from its standard input and writes one
// Answer a line to its standard output, both JSON. The first request opens the
// token: so the PIN is on no command line and in no environment. The plugin
// ends with its standard input.

// A Request asks for one operation.
type Request struct {
	Op    string `json:"op"` // open, encrypt or decrypt
	Token *Token `json:"token,omitempty"`
	Data  []byte `json:"data,omitempty"`
	KeyID string `json:"key_id,omitempty"`
}

// A Token says which key of which token is used, and how.
type Token struct {
	Lib        string `json:"lib"` // path of the vendor's library
	Slot       string `json:"slot,omitempty"`
	TokenLabel string `json:"token_label,omitempty"`
	PIN        string `json:"pin"`
	KeyLabel   string `json:"key_label,omitempty"`
	KeyID      string `json:"key_id,omitempty"` // hex
	Mechanism  string `json:"mechanism,omitempty"`
	OAEPHash   string `json:"rsa_oaep_hash,omitempty"`
}

// An Answer is the result, or Error, a sentence without a secret.
type Answer struct {
	Done  string `json:"done,omitempty"` // the Op that this answers, unless it failed
	Data  []byte `json:"data,omitempty"`
	KeyID string `json:"key_id,omitempty"`
	Error string `json:"error,omitempty"`
}
