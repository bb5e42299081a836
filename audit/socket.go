package audit

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"
)

// socket sends lines over a connection that it makes when first needed and
// again after an error. Over UDP each line is one datagram.
type socket struct {
	network, address string
	timeout          time.Duration // for dialling and writing together
	dial             func(ctx context.Context, network, address string) (net.Conn, error)

	conn net.Conn
}

// write tries a second time on a fresh connection if the old one was dead, so a
// line may arrive twice, the first time torn.
func (s *socket) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	deadline := time.Now().Add(s.timeout)
	if s.conn != nil {
		if s.send(lines, deadline) == nil {
			return nil
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	conn, err := s.dial(ctx, s.network, s.address)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	s.conn = conn
	return s.send(lines, deadline)
}

func (s *socket) send(lines []byte, deadline time.Time) error {
	err := s.conn.SetWriteDeadline(deadline)
	if err == nil && s.network == "udp" {
		for line := range bytes.Lines(lines) {
			if _, err = s.conn.Write(line); err != nil {
				break
			}
		}
	} else if err == nil {
		_, err = s.conn.Write(lines)
	}
	if err != nil {
		s.conn.Close()
		s.conn = nil
	}
	return err
}

func (*socket) reload() error { return nil }

func (*socket) prompt() bool { return false }

func (s *socket) close() error {
	if s.conn == nil {
		return nil
	}
	return s.conn.Close()
}
