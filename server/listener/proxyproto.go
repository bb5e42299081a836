package listener

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// The PROXY protocol, versions 1 (a line) and 2 (binary): a load balancer says
// whose connection it passes on, before the first byte of TLS or HTTP.
//
// The header is read on the connection's own goroutine, at its first use, so
// that a peer that sends rubbish or nothing holds up itself alone.

var (
	v2Signature = []byte("\r\n\r\n\x00\r\nQUIT\n")
	errHeader   = errors.New("malformed PROXY protocol header")
	errPeer     = errors.New("peer is not authorised for the PROXY protocol")
)

const (
	maxV1 = 107 // bytes of a line, CRLF included
	maxV2 = 4 << 10
)

type proxyListener struct {
	net.Listener
	behavior   string
	authorized []netip.Prefix
	timeout    time.Duration // for the header; 0 is none
}

func (l *proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &proxyConn{Conn: c, from: l, r: bufio.NewReaderSize(c, maxV2)}, nil
}

type proxyConn struct {
	net.Conn
	from *proxyListener
	r    *bufio.Reader

	once   sync.Once
	client net.Addr // nil when the header names none that counts
	err    error    // of the header; ends the connection
}

func (c *proxyConn) header() {
	c.once.Do(func() {
		host, _, _ := net.SplitHostPort(c.Conn.RemoteAddr().String())
		trusted := c.from.behavior == "use_always" || contains(c.from.authorized, host)
		if !trusted && c.from.behavior == "deny_unauthorized" {
			c.err = errPeer
			_ = c.Conn.Close()
			return
		}
		if c.from.timeout > 0 {
			_ = c.Conn.SetReadDeadline(time.Now().Add(c.from.timeout))
		}
		client, err := readProxyHeader(c.r)
		if err != nil {
			c.err = err
			_ = c.Conn.Close()
			return
		}
		_ = c.Conn.SetReadDeadline(time.Time{})
		if trusted && client != nil {
			c.client = client
		}
	})
}

// RemoteAddr is the client's address where the header may say it.
func (c *proxyConn) RemoteAddr() net.Addr {
	c.header()
	if c.client != nil {
		return c.client
	}
	return c.Conn.RemoteAddr()
}

func (c *proxyConn) Read(p []byte) (int, error) {
	c.header()
	if c.err != nil {
		return 0, c.err
	}
	return c.r.Read(p)
}

// readProxyHeader takes a header off r, if there is one, and returns the
// address it names, or nil. It asks for no byte that the peer need not send.
func readProxyHeader(r *bufio.Reader) (net.Addr, error) {
	for _, form := range []struct {
		signature []byte
		read      func(*bufio.Reader) (net.Addr, error)
	}{{[]byte("PROXY "), readV1}, {v2Signature, readV2}} {
		ok, err := startsWith(r, form.signature)
		if err != nil {
			return nil, err
		}
		if ok {
			return form.read(r)
		}
	}
	return nil, nil
}

func startsWith(r *bufio.Reader, signature []byte) (bool, error) {
	for n := 1; n <= len(signature); n++ {
		got, err := r.Peek(n)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(got, signature[:n]) {
			return false, nil
		}
	}
	return true, nil
}

func readV1(r *bufio.Reader) (net.Addr, error) {
	var line []byte
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxV1 {
			return nil, errHeader
		}
		b, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		line = append(line, b)
	}
	words := strings.Split(strings.TrimSuffix(string(line), "\r\n"), " ")
	if len(words) > 1 && words[1] == "UNKNOWN" {
		return nil, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return nil, errHeader
	}
	client, err := v1Address(words[1], words[2], words[4])
	if err != nil {
		return nil, err
	}
	if _, err := v1Address(words[1], words[3], words[5]); err != nil {
		return nil, err
	}
	return client, nil
}

func v1Address(family, host, port string) (*net.TCPAddr, error) {
	addr, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
	if err != nil || addr.Addr().Is4() != (family == "TCP4") || addr.Addr().Zone() != "" {
		return nil, errHeader
	}
	return net.TCPAddrFromAddrPort(addr), nil
}

// readV2 reads: signature 12, version and command 1, family 1, length 2, then
// source and destination addresses, their ports, and extensions.
func readV2(r *bufio.Reader) (net.Addr, error) {
	head, err := r.Peek(16)
	if err != nil {
		return nil, err
	}
	command, family, length := head[12], head[13], int(binary.BigEndian.Uint16(head[14:]))
	if command>>4 != 2 || 16+length > maxV2 {
		return nil, errHeader
	}
	whole, err := r.Peek(16 + length)
	if err != nil {
		return nil, err
	}
	body := bytes.Clone(whole[16:])
	if _, err := r.Discard(16 + length); err != nil {
		return nil, err
	}
	switch command & 0xf {
	case 0: // LOCAL: the balancer's own health check
		return nil, nil
	case 1:
		return v2Address(family, body)
	}
	return nil, errHeader
}

func v2Address(family byte, body []byte) (net.Addr, error) {
	var size int
	switch family {
	case 0x11: // TCP over IPv4
		size = 4
	case 0x21: // TCP over IPv6
		size = 16
	default:
		return nil, nil
	}
	if len(body) < 2*size+4 {
		return nil, errHeader
	}
	addr, _ := netip.AddrFromSlice(body[:size])
	port := binary.BigEndian.Uint16(body[2*size:])
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr.Unmap(), port)), nil
}
