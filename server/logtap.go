package server

import (
	"context"
	"io"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/fastness-dev/fastness/engine"
)

// A LogTap lets clients follow the log. What nobody takes in time is lost to
// them, and to them alone: the log never waits.
type LogTap struct {
	least atomic.Int64 // level that somebody follows, noLevel when nobody does

	mu    sync.Mutex
	taps  map[*tap]bool
	ended bool
}

const noLevel = math.MaxInt64

// NewLogTap returns a tap that nobody follows.
func NewLogTap() *LogTap {
	l := &LogTap{taps: map[*tap]bool{}}
	l.measure()
	return l
}

// measure keeps least true. The mutex is held, or nobody else is there yet.
func (l *LogTap) measure() {
	least := int64(noLevel)
	for t := range l.taps {
		least = min(least, int64(t.level))
	}
	l.least.Store(least)
}

// Over is a handler that logs to next, and to who follows.
func (l *LogTap) Over(next slog.Handler) slog.Handler { return &tapped{next: next, taps: l} }

// End ends all that follow, now and later.
func (l *LogTap) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for t := range l.taps {
		delete(l.taps, t)
		close(t.lines)
	}
	l.measure()
}

// backlog is how many lines wait for a client that is slow.
const backlog = 512

// A tap is one client that follows.
type tap struct {
	level   slog.Level
	handler slog.Handler // writes to the tap itself
	lines   chan []byte  // closed when the server ends
}

// Write takes a line, or drops it. The mutex of the LogTap is held.
func (t *tap) Write(line []byte) (int, error) {
	select {
	case t.lines <- slices.Clone(line):
	default:
	}
	return len(line), nil
}

func (l *LogTap) open(level slog.Level, format string) *tap {
	t := &tap{level: level, lines: make(chan []byte, backlog)}
	t.handler = newHandler(format, level, t)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		close(t.lines)
		return t
	}
	l.taps[t] = true
	l.measure()
	return t
}

func (l *LogTap) shut(t *tap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.taps, t)
	l.measure()
}

// wants says whether anybody follows a level. Every line of the log asks.
func (l *LogTap) wants(level slog.Level) bool { return int64(level) >= l.least.Load() }

// tapped is the handler behind a logger and those made from it.
type tapped struct {
	next slog.Handler
	taps *LogTap
	with []func(slog.Handler) slog.Handler // how the logger was made
}

func (h *tapped) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level) || h.taps.wants(level)
}

func (h *tapped) Handle(ctx context.Context, r slog.Record) error {
	if h.taps.wants(r.Level) {
		h.follow(ctx, r)
	}
	if !h.next.Enabled(ctx, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

func (h *tapped) follow(ctx context.Context, r slog.Record) {
	h.taps.mu.Lock()
	defer h.taps.mu.Unlock()
	for t := range h.taps.taps {
		if r.Level < t.level {
			continue
		}
		to := t.handler
		for _, with := range h.with {
			to = with(to)
		}
		_ = to.Handle(ctx, r.Clone()) // a tap takes every line
	}
}

func (h *tapped) made(with func(slog.Handler) slog.Handler) slog.Handler {
	return &tapped{next: with(h.next), taps: h.taps, with: append(slices.Clone(h.with), with)}
}

func (h *tapped) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.made(func(to slog.Handler) slog.Handler { return to.WithAttrs(attrs) })
}

func (h *tapped) WithGroup(name string) slog.Handler {
	return h.made(func(to slog.Handler) slog.Handler { return to.WithGroup(name) })
}

// FollowLog is what sys/monitor does. What is logged from now on is kept for
// the function that it returns.
func (s *Server) FollowLog(ctx context.Context, level, format string) (func(io.Writer) error, error) {
	from, ok := levels[strings.ToLower(level)]
	if !ok {
		return nil, engine.Bad("unknown log level %q: it must be trace, debug, info, warn or error", level)
	}
	t := s.logs.open(from, format)
	context.AfterFunc(ctx, func() { s.logs.shut(t) })
	return func(w io.Writer) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case line, open := <-t.lines:
				if !open {
					return nil
				}
				if _, err := w.Write(line); err != nil {
					return err
				}
			}
		}
	}, nil
}
