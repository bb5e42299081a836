package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// dial opens a connection to a member and makes sure that it is that one.
func (n *Net) dial(ctx context.Context, id uint64, protocol string) (*conn, error) {
	own, err := n.own()
	if err != nil {
		return nil, err
	}
	if id == own.id || !n.conf.Member(id) {
		return nil, fmt.Errorf("node %016x: %w", id, ErrNotMember)
	}
	hostport, ok := n.conf.Address(id)
	if !ok {
		return nil, fmt.Errorf("the address of node %016x is not known", id)
	}
	ctx, cancel := context.WithTimeout(ctx, n.conf.Limits.Dial)
	defer cancel()
	raw, err := n.conf.Dial(ctx, hostport)
	if err != nil {
		return nil, fmt.Errorf("connect to node %016x: %w", id, err)
	}
	c, err := n.greet(ctx, raw, own, id, protocol)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("connect to node %016x at %s: %w", id, hostport, err)
	}
	return c, nil
}

func (n *Net) greet(ctx context.Context, raw net.Conn, own *Identity, id uint64, protocol string) (*conn, error) {
	tc := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		Certificates: []tls.Certificate{*own.tls()},
		// The host's name is nothing to go by: VerifyConnection asks for the node's
		// id, and for an authority that is this cluster's and no other.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			peer, err := verify(s.PeerCertificates[0], own.trusted, x509.ExtKeyUsageServerAuth, n.conf.Now())
			if err == nil && peer != id {
				err = fmt.Errorf("node %016x answers there", peer)
			}
			return err
		},
	})
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c, err := n.admit(tc, id, false)
	if err != nil || protocol != protocolRaft {
		return c, err
	}
	stop := context.AfterFunc(ctx, c.kill)
	var b [1]byte
	_, err = c.Read(b[:])
	if err == nil && b[0] != greeting {
		err = errors.New("it speaks another protocol")
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
