// Package wire is the rim: it turns HTTP into requests and answers into HTTP,
// as Vault's clients expect. LIST, wrap headers, envelopes, 204 for nothing and
// 404 for empty lists are known here and nowhere else.
//
// It promises one canonical spelling of a path: what is not canonical after one
// decoding of percent-escapes is refused before anything looks at it.
package wire

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fastness-dev/fastness/api"
	"github.com/fastness-dev/fastness/engine"
)

// A Request is one request of the API, decoded but for its body.
type Request struct {
	ID         string
	Op         engine.Op
	Head       bool // HEAD: answer without a body
	Help       bool
	Path       string // below /v1/, canonical, without a leading slash
	Namespace  string // path, "" is the root namespace
	Token      string
	WrapTTL    time.Duration
	Body       json.RawMessage // after ReadBody: validated JSON or nil
	Query      url.Values      // parameters of the query, without those of the wire
	RemoteAddr string          // IP
	RemotePort int
	HTTP       *http.Request
	Start      time.Time
}

// FullPath is the path as Vault notes it: that of a list ends in a slash.
func (q *Request) FullPath() string {
	if q.Op == engine.OpList && !strings.HasSuffix(q.Path, "/") {
		return q.Path + "/"
	}
	return q.Path
}

// Limits bound what a request may cost. Zero fields are Vault's defaults,
// negative ones no limit.
type Limits struct {
	MaxBody   int64 // bytes; 32 MiB
	MaxDepth  int   // 500
	MaxString int   // bytes; 1 MiB
	MaxFields int   // per object; 10 000
	MaxItems  int   // per array; 10 000
	MaxTokens int   // brackets and values of the whole body; 500 000
	MaxToken  int   // bytes of the token header; 8 KiB
}

func (l Limits) orDefaults() Limits {
	if l.MaxBody < 0 {
		l.MaxBody = math.MaxInt64
	} else if l.MaxBody == 0 {
		l.MaxBody = 32 << 20
	}
	or := func(v *int, unset int) {
		if *v < 0 {
			*v = math.MaxInt
		} else if *v == 0 {
			*v = unset
		}
	}
	or(&l.MaxDepth, 500)
	or(&l.MaxString, 1<<20)
	or(&l.MaxFields, 10_000)
	or(&l.MaxItems, 10_000)
	or(&l.MaxTokens, 500_000)
	or(&l.MaxToken, 8<<10)
	return l
}

func fail(status int, sentence string) error {
	return &api.Error{Status: status, Errors: []string{sentence}}
}

// newID draws a version 4 UUID (RFC 9562).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	var text [36]byte
	for at, part := range [...][2]int{{0, 4}, {4, 6}, {6, 8}, {8, 10}, {10, 16}} {
		from := 2*part[0] + at // after as many dashes as parts
		hex.Encode(text[from:], b[part[0]:part[1]])
		if end := from + 2*(part[1]-part[0]); end < len(text) {
			text[end] = '-'
		}
	}
	return string(text[:])
}

// Decode reads everything but the body.
func Decode(r *http.Request, limits Limits) (*Request, error) {
	limits = limits.orDefaults()
	q := &Request{ID: newID(), HTTP: r, Start: time.Now()}
	q.RemoteAddr, q.RemotePort = splitAddr(r.RemoteAddr)
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	if !ok {
		return q, &api.Error{Status: http.StatusNotFound, Errors: []string{}}
	}
	if err := CheckPath(path); err != nil {
		return q, err
	}
	q.Path = path
	if err := q.method(r); err != nil {
		return q, err
	}
	q.Token = r.Header.Get(api.HeaderToken)
	if q.Token == "" {
		q.Token, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if q.Token == r.Header.Get("Authorization") {
			q.Token = ""
		}
	}
	if len(q.Token) > limits.MaxToken {
		return q, fail(http.StatusRequestHeaderFieldsTooLarge, "the token header is too long")
	}
	q.Token = strings.TrimSpace(q.Token)
	q.Namespace = strings.Trim(r.Header.Get(api.HeaderNamespace), "/")
	if q.Namespace == "root" {
		q.Namespace = ""
	}
	if h := r.Header.Get(api.HeaderWrapTTL); h != "" {
		d, err := engine.ParseDuration(h)
		if err != nil || d < 0 {
			return q, fail(http.StatusBadRequest, "error parsing X-Vault-Wrap-TTL header: it must be a duration such as 60 or 5m, and not negative")
		}
		q.WrapTTL = d
	}
	return q, nil
}

func (q *Request) method(r *http.Request) error {
	var query url.Values
	if r.URL.RawQuery != "" {
		var err error
		if query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return fail(http.StatusBadRequest, "error parsing the query string")
		}
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		q.Op, q.Head = engine.OpRead, r.Method == http.MethodHead
		if query.Has("list") {
			list, err := strconv.ParseBool(query.Get("list"))
			if err != nil {
				return fail(http.StatusBadRequest, "the query parameter list must be true or false")
			}
			if list {
				q.Op = engine.OpList
			}
			query.Del("list")
		}
		if query.Get("help") == "1" {
			q.Help = true
			query.Del("help")
		}
		if len(query) > 0 {
			q.Query = query
		}
	case "LIST":
		q.Op = engine.OpList
		query.Del("list")
		if len(query) > 0 {
			q.Query = query
		}
	case http.MethodPost, http.MethodPut:
		q.Op = engine.OpWrite
	case http.MethodPatch:
		q.Op = engine.OpPatch
	case http.MethodDelete:
		q.Op = engine.OpDelete
		if len(query) > 0 {
			q.Query = query
		}
	default:
		return &api.Error{Status: http.StatusMethodNotAllowed, Errors: []string{}}
	}
	return nil
}

// CheckPath refuses what is not the canonical spelling of a path.
func CheckPath(path string) error {
	if !utf8.ValidString(path) {
		return fail(http.StatusBadRequest, "the path is not valid UTF-8")
	}
	for i := 0; i < len(path); i++ {
		if path[i] < 0x20 || path[i] == 0x7f {
			return fail(http.StatusBadRequest, "the path holds a control character")
		}
	}
	rest := path
	for more := true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch {
		case segment == "." || segment == "..":
			return fail(http.StatusBadRequest, "relative paths not supported")
		case segment == "" && more:
			return fail(http.StatusBadRequest, "the path holds an empty segment")
		}
	}
	return nil
}

func splitAddr(s string) (string, int) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return s, 0
	}
	n, _ := strconv.Atoi(port) // not a number is no port
	return host, n
}

// ReadBody reads and validates the body.
// Body is how many bytes a body may have.
func (l Limits) Body() int64 { return l.orDefaults().MaxBody }

func (q *Request) ReadBody(w http.ResponseWriter, limits Limits) error {
	limits = limits.orDefaults()
	r := q.HTTP
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	if q.Op == engine.OpRead || q.Op == engine.OpList {
		return nil
	}
	if r.ContentLength > limits.MaxBody {
		return tooLarge()
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // a bad type is no type
	if q.Op == engine.OpPatch && r.Header.Get("Content-Type") == "" {
		return fail(http.StatusBadRequest, "mime: no media type")
	}
	if q.Op == engine.OpPatch && kind != "application/merge-patch+json" {
		return fail(http.StatusUnsupportedMediaType, "PATCH requires the content type application/merge-patch+json")
	}
	size := r.ContentLength
	if size < 0 {
		size = 512
	}
	b, err := readAll(http.MaxBytesReader(w, r.Body, limits.MaxBody), int(size))
	var big *http.MaxBytesError
	switch {
	case errors.As(err, &big):
		return tooLarge()
	case err != nil:
		return fail(http.StatusBadRequest, "the body could not be read to its end")
	case len(b) == 0:
		return nil
	}
	if kind == "application/x-www-form-urlencoded" && b[0] != '{' {
		form, err := url.ParseQuery(string(b))
		if err != nil {
			return fail(http.StatusBadRequest, "error parsing form data")
		}
		flat := make(map[string]any, len(form))
		for k, v := range form {
			if flat[k] = v; len(v) == 1 {
				flat[k] = v[0]
			}
		}
		q.Body, err = json.Marshal(flat)
		return err
	}
	if err := CheckJSON(b, limits); err != nil {
		return err
	}
	q.Body = b
	return nil
}

func tooLarge() error {
	return fail(http.StatusRequestEntityTooLarge, "http: request body too large")
}

// readAll reads to the end into a buffer of the size that was announced.
func readAll(r io.Reader, size int) ([]byte, error) {
	b := make([]byte, 0, min(size, 1<<20)+1)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}
