package listener_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/server/config"
	"github.com/fastness-dev/fastness/server/listener"
)

func whoAsks(w http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.RemoteAddr, ":")
	if strings.HasPrefix(r.RemoteAddr, "[") {
		host = r.RemoteAddr
	}
	fmt.Fprint(w, host)
}

// ask sends a header and a request, and returns whom the server took us for,
// or "" if it closed the connection.
func ask(t *testing.T, l *listener.Listener, header string) string {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") // it may be closed by now
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

// v2 is a binary header.
func v2(command, family byte, source, target netip.AddrPort, extra ...byte) string {
	body := append(source.Addr().AsSlice(), target.Addr().AsSlice()...)
	body = binary.BigEndian.AppendUint16(body, source.Port())
	body = append(binary.BigEndian.AppendUint16(body, target.Port()), extra...)
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(body))), body...))
}

var (
	client4 = netip.MustParseAddrPort("192.0.2.7:1000")
	client6 = netip.MustParseAddrPort("[2001:db8::7]:1000")
)

func TestProxyHeadersAreRead(t *testing.T) {
	l := serveWith(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSDisable: true, ProxyProtocolBehavior: "use_always"}, whoAsks)
	for name, c := range map[string]struct{ header, want string }{
		"no header":                   {"", "127.0.0.1"},
		"v1 over IPv4":                {"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n", "192.0.2.7"},
		"v1 over IPv6":                {"PROXY TCP6 2001:db8::7 2001:db8::1 1000 443\r\n", "[2001:db8::7]:1000"},
		"v1 of an unknown client":     {"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "127.0.0.1"},
		"v1 with the wrong family":    {"PROXY TCP4 2001:db8::7 2001:db8::1 1000 443\r\n", ""},
		"v1 without a target":         {"PROXY TCP4 192.0.2.7 1000\r\n", ""},
		"v1 with a bad target":        {"PROXY TCP4 192.0.2.7 nowhere 1000 443\r\n", ""},
		"v1 with a bad port":          {"PROXY TCP4 192.0.2.7 198.51.100.1 70000 443\r\n", ""},
		"v1 without an end":           {"PROXY " + strings.Repeat("x", 200) + "\r\n", ""},
		"v1 with a newline alone":     {"PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\n", ""},
		"v2 over IPv4":                {v2(1, 0x11, client4, client4), "192.0.2.7"},
		"v2 over IPv6":                {v2(1, 0x21, client6, client6), "[2001:db8::7]:1000"},
		"v2 with extensions":          {v2(1, 0x11, client4, client4, bytes.Repeat([]byte{0xEE}, 300)...), "192.0.2.7"},
		"v2 of the balancer's own":    {v2(0, 0x11, client4, client4), "127.0.0.1"},
		"v2 of a unix socket":         {v2(1, 0x31, client4, client4), "127.0.0.1"},
		"v2 with an unknown command":  {v2(2, 0x11, client4, client4), ""},
		"v2 too short for its family": {v2(1, 0x21, client4, client4), ""},
		"v2 with a length of 64 KiB":  {"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff", ""},
		"v2 of another version":       {"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00", ""},
	} {
		if got := ask(t, l, c.header); got != c.want {
			t.Errorf("%s: taken for %q, want %q", name, got, c.want)
		}
	}
}

// Whom the listener believes is what proxy_protocol_behavior says.
func TestWhoseProxyHeaderIsBelieved(t *testing.T) {
	const header = "PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n"
	for _, c := range []struct{ behavior, authorized, header, want string }{
		{"", "", header, ""}, // it is no HTTP
		{"use_always", "", header, "192.0.2.7"},
		{"allow_authorized", "127.0.0.0/8", header, "192.0.2.7"},
		{"allow_authorized", "127.0.0.1", "", "127.0.0.1"},
		{"allow_authorized", "10.0.0.0/8", header, "127.0.0.1"},
		{"deny_unauthorized", "127.0.0.0/8", header, "192.0.2.7"},
		{"deny_unauthorized", "10.0.0.0/8", header, ""},
		{"deny_unauthorized", "10.0.0.0/8", "", ""},
	} {
		l := serveWith(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSDisable: true,
			ProxyProtocolBehavior: c.behavior, ProxyProtocolAuthorized: strings.Fields(c.authorized)}, whoAsks)
		if got := ask(t, l, c.header); got != c.want {
			t.Errorf("%s of %s, header %q: taken for %q, want %q", c.behavior, c.authorized, c.header, got, c.want)
		}
	}
}

// A header comes before TLS, and a peer that says nothing holds up nobody else.
func TestProxyHeadersBeforeTLS(t *testing.T) {
	ca, cert, key := certificate(t, t.TempDir())
	l := serveWith(t, config.Listener{Type: "tcp", Address: "127.0.0.1:0", TLSCertFile: cert, TLSKeyFile: key,
		ProxyProtocolBehavior: "use_always"}, whoAsks)
	silent, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := client(t, ca)
	c.Transport.(*http.Transport).Dial = func(network, addr string) (net.Conn, error) { //nolint:staticcheck // the context is of no use here
		conn, err := net.Dial(network, addr)
		if err == nil {
			_, err = io.WriteString(conn, v2(1, 0x11, client4, client4))
		}
		return conn, err
	}
	if got := body(t, c, "https://"+l.Addr().String()); got != "192.0.2.7" {
		t.Errorf("taken for %q", got)
	}
}

func FuzzProxyHeader(f *testing.F) {
	for _, s := range []string{"", "PROXY TCP4 192.0.2.7 198.51.100.1 1000 443\r\n", "PROXY UNKNOWN\r\n", v2(1, 0x11, client4, client4), v2(0, 0, client6, client6)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rest := []byte("GET / HTTP/1.1\r\n")
		r := bufio.NewReaderSize(bytes.NewReader(append(bytes.Clone(b), rest...)), 4<<10)
		if _, err := listener.ReadProxyHeader(r); err != nil {
			return
		}
		left, err := io.ReadAll(r)
		if err != nil || !bytes.HasSuffix(append(b, rest...), left) {
			t.Fatalf("left %q, %v", left, err)
		}
	})
}
