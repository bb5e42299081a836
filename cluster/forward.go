package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync/atomic"
)

const (
	// ForwardHeader goes with a request from one node to another. Clients cannot
	// say anything by it: a node that takes requests from outside deletes it,
	// Forward overwrites it, and what a node believes comes with the request's
	// context.
	ForwardHeader = "X-Fastness-Forwarded"
	// notLeader goes with the answer of a node that does not lead.
	notLeader = "X-Fastness-Not-Leader"
)

var (
	// ErrNotLeader is the other node's word that it does not lead and has done
	// nothing.
	ErrNotLeader = errors.New("the other node does not lead, and has done nothing")
	// ErrForwarded is for a request that came from another node.
	ErrForwarded = errors.New("a forwarded request is not forwarded again")
)

// An Origin is where a request came into the cluster.
type Origin struct {
	// Door describes the listener of that node, in its words and ours.
	Door string
	// Node is the raft id of that node. Forward fills it in.
	Node uint64
}

// A wireRequest is what HTTP/2 between nodes would not carry unchanged, in
// ForwardHeader as base64 of JSON. Bytes and not text: a client's may be no UTF-8.
type wireRequest struct {
	Method string   `json:"method"`
	URI    []byte   `json:"uri"`
	Host   []byte   `json:"host"`
	Proto  string   `json:"proto"`
	Remote string   `json:"remote"`
	Door   string   `json:"door,omitempty"`
	TLS    *wireTLS `json:"tls,omitempty"`
}

// A wireTLS is a client's connection with the node it came to.
type wireTLS struct {
	Version      uint16   `json:"version"`
	Cipher       uint16   `json:"cipher"`
	Server       string   `json:"server,omitempty"`
	Protocol     string   `json:"protocol,omitempty"`
	Certificates [][]byte `json:"certificates,omitempty"` // each once, in DER
	Peer         []int    `json:"peer,omitempty"`         // places in Certificates
	Chains       [][]int  `json:"chains,omitempty"`
}

// Forward lets another node run r, with this body in place of r's own and, unless
// that is nil, of r's length. The answer's body streams and belongs to the caller,
// who closes it. When ctx ends, so does the request there.
//
// Errors are [ErrNotLeader] and [ErrForwarded], after which nothing was done, and
// [ErrBroken]. The body is not read any more once the answer's was closed or an
// error returned, but for a Read that is under way.
func (n *Net) Forward(ctx context.Context, to uint64, r *http.Request, body io.Reader, from Origin) (*http.Response, error) {
	if _, ok := OriginOf(r); ok {
		return nil, ErrForwarded
	}
	out, stop, err := outgoing(ctx, r, body, from)
	if err != nil {
		return nil, ErrBroken{Err: err}
	}
	answer, err := n.do(to, out)
	if err != nil {
		stop()
		return nil, err
	}
	if answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get(notLeader) != "" {
		stop()
		answer.Body.Close()
		return nil, ErrNotLeader
	}
	dropHops(answer.Header)
	answer.Body = &closing{answer.Body, stop}
	return answer, nil
}

func outgoing(ctx context.Context, r *http.Request, body io.Reader, from Origin) (out *http.Request, stop func(), err error) {
	head, err := json.Marshal(wireRequest{
		Method: r.Method, URI: []byte(requestURI(r)), Host: []byte(r.Host), Proto: r.Proto,
		Remote: r.RemoteAddr, Door: from.Door, TLS: encodeTLS(r.TLS),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("forward a request: %w", err)
	}
	stop = func() {}
	if body != nil && body != http.NoBody {
		s := &stoppable{r: body}
		body, stop = s, s.stop
	}
	method := http.MethodPost
	if r.Method == http.MethodHead {
		method = http.MethodHead // its answer has a length and no body
	}
	out, err = http.NewRequestWithContext(ctx, method, "https://node"+forwardPath, body)
	if err != nil {
		return nil, nil, fmt.Errorf("forward a request: %w", err)
	}
	out.Header = r.Header.Clone()
	if out.Header == nil {
		out.Header = http.Header{}
	}
	dropHops(out.Header)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header["User-Agent"] = nil // or Go adds its own
	}
	out.Header.Set(ForwardHeader, base64.StdEncoding.EncodeToString(head))
	out.ContentLength = 0
	if out.Body != nil {
		out.ContentLength, out.Trailer = r.ContentLength, r.Trailer
		if r.ContentLength == 0 {
			out.ContentLength = -1
		}
	}
	return out, stop, nil
}

// requestURI is what the client wrote, whatever was made of r's URL since.
func requestURI(r *http.Request) string {
	if r.RequestURI != "" {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// hops are the headers that speak of one connection. Expect was answered by the
// node that the client speaks with, and Trailer goes on its own.
var hops = []string{"Connection", "Expect", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// dropHops takes them away, with those that Connection names.
func dropHops(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hops {
		h.Del(name)
	}
}

func encodeTLS(s *tls.ConnectionState) *wireTLS {
	if s == nil {
		return nil
	}
	w := &wireTLS{Version: s.Version, Cipher: s.CipherSuite, Server: s.ServerName, Protocol: s.NegotiatedProtocol}
	places := map[string]int{}
	add := func(chain []*x509.Certificate) (list []int) {
		for _, c := range chain {
			place, ok := places[string(c.Raw)]
			if !ok {
				place = len(w.Certificates)
				places[string(c.Raw)] = place
				w.Certificates = append(w.Certificates, c.Raw)
			}
			list = append(list, place)
		}
		return list
	}
	w.Peer = add(s.PeerCertificates)
	for _, chain := range s.VerifiedChains {
		w.Chains = append(w.Chains, add(chain))
	}
	return w
}

// stoppable is a body that HTTP/2 must not read on its own any more after stop.
// Its Close leaves the body alone, which is the caller's.
type stoppable struct {
	r       io.Reader
	stopped atomic.Bool
}

func (s *stoppable) Read(b []byte) (int, error) {
	if s.stopped.Load() {
		return 0, errors.New("the request has ended")
	}
	return s.r.Read(b)
}

func (s *stoppable) stop() { s.stopped.Store(true) }

type closing struct {
	io.ReadCloser
	stop func()
}

func (c *closing) Close() error {
	c.stop()
	return c.ReadCloser.Close()
}
