// Package cubbyhole gives every token a private place, and wraps answers: an
// answer is put in the cubbyhole of a token that can be used once.
//
// It promises that nobody but the holder of a token reads its cubbyhole, that
// it ends with the token, and that a wrapped answer is handed out once.
package cubbyhole

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/access/token"
	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/storage"
)

type hole struct{}

type pathRequest struct {
	Path string          `path:"path"`
	Body json.RawMessage `body:"all"`
}

type listRequest struct {
	Path string `path:"path"`
}

// Type is the engine of cubbyhole/.
func Type() engine.Type {
	return (&engine.Spec[hole]{
		Name: "cubbyhole", Kind: engine.System, Help: "A private place for each token.",
		Routes: engine.Routes[hole]{
			engine.Read("{path...}", (*hole).read).Doc("Read what this token put here."),
			engine.List("[{path...}]", (*hole).list).Doc("List what this token put here."),
			engine.Exists(engine.Write("[{path...}]", (*hole).write).Doc("Put something here."), (*hole).exists),
			engine.Delete("{path...}", (*hole).remove).Doc("Delete what this token put here."),
		},
	}).Type()
}

// place is where a caller's rows are: below the storage id of its token.
func place(v engine.View, path string) (string, error) {
	id := v.Caller().TokenID
	if id == "" || strings.Contains(id, "/") {
		return "", engine.Bad("cubbyhole operations are only supported by service tokens")
	}
	if v.Caller().Accessor == "" {
		return "", engine.Bad("cubbyhole operations are only supported by \"service\" type tokens")
	}
	return id + "/" + path, nil
}

func (*hole) read(v engine.View, req pathRequest) (json.RawMessage, error) {
	p, err := place(v, req.Path)
	if err != nil {
		return nil, err
	}
	if req.Path == "response" {
		if a, err := response(v); err != nil || a != nil {
			return a, err
		}
	}
	return v.Get(p)
}

// response is what the caller's token wraps, as old clients ask for it: as text.
// The token's one use is spent on it, so it is handed out once here too. It is
// nil when the token wraps nothing.
func response(v engine.View) (json.RawMessage, error) {
	row, err := rows(engine.CallOf(v).Whole).Peek(v.Caller().TokenID)
	if err != nil || row == nil {
		return nil, err
	}
	return json.Marshal(struct {
		Response string `json:"response"`
	}{string(row.Answer)})
}

func (*hole) exists(v engine.View, req pathRequest) (bool, error) {
	p, err := place(v, req.Path)
	if err != nil {
		return false, err
	}
	b, err := v.Get(p)
	return b != nil, err
}

func (*hole) list(v engine.View, req listRequest) (engine.Keys, error) {
	p, err := place(v, strings.TrimSuffix(req.Path, "/"))
	if err != nil {
		return engine.Keys{}, err
	}
	var names []string
	for n, err := range v.Children(strings.TrimSuffix(p, "/"), "") {
		if err != nil {
			return engine.Keys{}, err
		}
		names = append(names, n)
	}
	return engine.KeysOf(names), nil
}

func (*hole) write(tx engine.Tx, req pathRequest) (engine.None, error) {
	if req.Path == "" {
		return engine.None{}, engine.Bad("missing path")
	}
	if len(req.Body) == 0 || string(req.Body) == "{}" || string(req.Body) == "null" {
		return engine.None{}, engine.Bad("missing data fields")
	}
	p, err := place(tx, req.Path)
	if err == nil {
		tx.Put(p, req.Body)
	}
	return engine.None{}, err
}

func (*hole) remove(tx engine.Tx, req pathRequest) (engine.None, error) {
	p, err := place(tx, req.Path)
	if err == nil {
		tx.Delete(p)
	}
	return engine.None{}, err
}

// A Wrapping wraps answers and hands them out again.
type Wrapping struct {
	Tokens *token.Store
}

// wrapped is the row of a wrapped answer.
type wrapped struct {
	Answer   []byte        `json:"answer"`           // the body as it would have been sent
	Type     string        `json:"type,omitempty"`   // of an answer with bytes of its own; "" is an envelope
	Status   int           `json:"status,omitempty"` // of the same
	Path     string        `json:"path"`
	Created  time.Time     `json:"created"`
	TTL      time.Duration `json:"ttl"`
	Accessor string        `json:"accessor,omitempty"` // of a token in the answer
}

func rows(tx *storage.Tx) storage.Table[wrapped] {
	return storage.In[wrapped](tx.In(storage.Wraps), "")
}

// Wrap stores an envelope and returns what is sent in its place.
func (w *Wrapping) Wrap(tx *storage.Tx, path string, envelope []byte, ttl time.Duration, accessor string) (*api.WrapInfo, error) {
	return w.put(tx, &wrapped{Answer: envelope, Path: path, TTL: ttl, Accessor: accessor})
}

// WrapRaw is Wrap for an answer with bytes of its own.
func (w *Wrapping) WrapRaw(tx *storage.Tx, path string, raw *engine.Raw, ttl time.Duration) (*api.WrapInfo, error) {
	return w.put(tx, &wrapped{Answer: raw.Body, Type: raw.ContentType, Status: raw.Status, Path: path, TTL: ttl})
}

func (w *Wrapping) put(tx *storage.Tx, row *wrapped) (*api.WrapInfo, error) {
	c, err := w.Tokens.Create(tx, nil, token.Params{Policies: []string{"response-wrapping"}, NoDefaultPolicy: true,
		Path: row.Path, TTL: row.TTL, ExplicitMaxTTL: row.TTL, NotRenewable: true, NumUses: 1})
	if err != nil {
		return nil, fmt.Errorf("make wrapping token: %w", err)
	}
	if row.Created.IsZero() {
		row.Created = c.Entry.Created
	}
	rows(tx).Put(c.Entry.ID, row)
	return &api.WrapInfo{Token: c.Raw, Accessor: c.Entry.Accessor, TTL: int64(row.TTL / time.Second),
		CreationTime: row.Created.UTC().Format(time.RFC3339Nano), CreationPath: row.Path, WrappedAccessor: row.Accessor}, nil
}

// Revoked removes what ends with a token: its cubbyhole and a wrapped answer.
// mounts says which range cubbyhole/ has.
func Revoked(tx *storage.Tx, e *token.Entry, hole storage.Range) error {
	rows(tx).Delete(e.ID)
	tx.In(hole).DeletePrefix(e.ID + "/")
	return nil
}

// Take hands out the answer that a token wraps, and ends the token. It is nil
// when the token wraps nothing.
func (w *Wrapping) Take(tx *storage.Tx, e *token.Entry) (*engine.Answer, error) {
	home, err := w.Tokens.Home(tx, e)
	if err != nil {
		return nil, err
	}
	row, err := rows(home).Get(e.ID)
	if err != nil || row == nil {
		return nil, err
	}
	rows(home).Delete(e.ID)
	a := &engine.Answer{Stored: row.Answer}
	if row.Type != "" {
		a = &engine.Answer{Raw: &engine.Raw{Status: row.Status, ContentType: row.Type, Body: row.Answer}}
	}
	return a, w.Tokens.Revoke(home, e.ID)
}

// Rewrap moves a wrapped answer to a new token of the same lifetime.
func (w *Wrapping) Rewrap(tx *storage.Tx, e *token.Entry) (*api.WrapInfo, error) {
	home, err := w.Tokens.Home(tx, e)
	if err != nil {
		return nil, err
	}
	row, err := rows(home).Get(e.ID)
	if err != nil || row == nil {
		return nil, err
	}
	rows(home).Delete(e.ID)
	if err := w.Tokens.Revoke(home, e.ID); err != nil {
		return nil, err
	}
	row.Created = time.Time{}
	return w.put(home, row)
}

// Lookup says what a wrapping token was made by and when.
func (w *Wrapping) Lookup(tx *storage.Tx, e *token.Entry) (path string, created time.Time, ttl time.Duration, found bool, err error) {
	home, err := w.Tokens.Home(tx, e)
	if err != nil {
		return "", time.Time{}, 0, false, err
	}
	row, err := rows(home).Peek(e.ID)
	if err != nil || row == nil {
		return "", time.Time{}, 0, false, err
	}
	return row.Path, row.Created, row.TTL, true, nil
}
