package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

type originKey struct{}

// OriginOf says where a forwarded request came into the cluster; it is false for
// one that came to this node. No header decides about it.
func OriginOf(r *http.Request) (Origin, bool) {
	o, ok := r.Context().Value(originKey{}).(Origin)
	return o, ok
}

// AnswerNotLeader answers a forwarded request of which nothing was done, because
// this node does not lead. It becomes [ErrNotLeader] at the node that sent it.
func AnswerNotLeader(w http.ResponseWriter) {
	w.Header().Set(notLeader, "1")
	http.Error(w, ErrNotLeader.Error(), http.StatusServiceUnavailable)
}

// serveForwarded runs a request as if it had come here.
func (n *Net) serveForwarded(c *conn, w http.ResponseWriter, r *http.Request) {
	in, err := restore(r, c.peer)
	if err != nil {
		http.Error(w, fmt.Sprintf("%s: %v", ForwardHeader, err), http.StatusBadRequest)
		return
	}
	n.conf.Forwarded.ServeHTTP(w, in)
}

// restore makes of a request between nodes the client's own. It shares the body,
// and the trailer, which is filled in when the body has ended.
func restore(r *http.Request, from uint64) (*http.Request, error) {
	var head wireRequest
	lines := r.Header[ForwardHeader]
	if len(lines) != 1 {
		return nil, fmt.Errorf("it is there %d times and not once", len(lines))
	}
	text, err := base64.StdEncoding.DecodeString(lines[0])
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	in := r.WithContext(context.WithValue(r.Context(), originKey{}, Origin{Door: head.Door, Node: from}))
	in.Header = r.Header.Clone()
	in.Header.Del(ForwardHeader)
	in.Method, in.Host, in.RemoteAddr, in.RequestURI = head.Method, string(head.Host), head.Remote, string(head.URI)
	in.Pattern = ""
	var ok bool
	if in.ProtoMajor, in.ProtoMinor, ok = http.ParseHTTPVersion(head.Proto); !ok {
		return nil, errors.New("the version of HTTP is not one")
	}
	in.Proto = head.Proto
	if in.URL, err = parseURI(in.Method, in.RequestURI); err != nil {
		return nil, err
	}
	if in.TLS, err = decodeTLS(head.TLS); err != nil {
		return nil, err
	}
	return in, nil
}

// parseURI does what net/http does with the first line of a request.
func parseURI(method, uri string) (*url.URL, error) {
	if method != http.MethodConnect || strings.HasPrefix(uri, "/") {
		return url.ParseRequestURI(uri)
	}
	u, err := url.ParseRequestURI("http://" + uri)
	if err != nil {
		return nil, err
	}
	u.Scheme = ""
	return u, nil
}

func decodeTLS(w *wireTLS) (*tls.ConnectionState, error) {
	if w == nil {
		return nil, nil
	}
	s := &tls.ConnectionState{Version: w.Version, CipherSuite: w.Cipher, ServerName: w.Server,
		NegotiatedProtocol: w.Protocol, HandshakeComplete: true}
	certificates := make([]*x509.Certificate, len(w.Certificates))
	for i, der := range w.Certificates {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		certificates[i] = c
	}
	pick := func(places []int) (chain []*x509.Certificate, err error) {
		for _, p := range places {
			if p < 0 || p >= len(certificates) {
				return nil, fmt.Errorf("there is no certificate %d", p+1)
			}
			chain = append(chain, certificates[p])
		}
		return chain, nil
	}
	var err error
	if s.PeerCertificates, err = pick(w.Peer); err != nil {
		return nil, err
	}
	for _, places := range w.Chains {
		chain, err := pick(places)
		if err != nil {
			return nil, err
		}
		s.VerifiedChains = append(s.VerifiedChains, chain)
	}
	return s, nil
}
