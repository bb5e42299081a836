package server

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// The log looks as Vault's, which people's tools read: a line
//
//	2006-01-02T15:04:05.000Z [INFO]  core: message: key=value
//
// or an object with @level, @message, @module, @timestamp and the keys.

// levels by the names that configuration and sys/loggers use.
var levels = map[string]slog.Level{"trace": levelTrace, "debug": slog.LevelDebug, "info": slog.LevelInfo,
	"notice": slog.LevelInfo, "warn": slog.LevelWarn, "warning": slog.LevelWarn, "error": slog.LevelError, "err": slog.LevelError}

const levelTrace = slog.LevelDebug - 4

// module is the one logger there is.
const module = "core"

// newHandler logs in a format, "json" or text, to every writer.
func newHandler(format string, level slog.Leveler, to ...io.Writer) slog.Handler {
	w := io.MultiWriter(to...)
	if format == "json" {
		h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: asVault})
		return h.WithAttrs([]slog.Attr{slog.String("@module", module)})
	}
	return &textLog{level: level, out: &lockedWriter{w: w}}
}

func asVault(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		return slog.String("@timestamp", a.Value.Time().Format("2006-01-02T15:04:05.000000Z07:00"))
	case slog.LevelKey:
		if l, ok := a.Value.Any().(slog.Level); ok {
			return slog.String("@level", strings.ToLower(strings.TrimSpace(levelName(l))))
		}
	case slog.MessageKey:
		a.Key = "@message"
	}
	return a
}

func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "TRACE"
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARN"
	}
	return "ERROR"
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// textLog writes lines. Values that could be taken for more than one are quoted.
type textLog struct {
	level slog.Leveler
	out   *lockedWriter
	group string // in front of keys, with its dot
	attrs string // those of With, written out
}

// Enabled is part of slog.Handler.
func (t *textLog) Enabled(_ context.Context, l slog.Level) bool { return l >= t.level.Level() }

// WithAttrs is part of slog.Handler.
func (t *textLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *t
	var b strings.Builder
	for _, a := range attrs {
		writeAttr(&b, t.group, a)
	}
	n.attrs += b.String()
	return &n
}

// WithGroup is part of slog.Handler.
func (t *textLog) WithGroup(name string) slog.Handler {
	n := *t
	if name != "" {
		n.group += name + "."
	}
	return &n
}

// Handle is part of slog.Handler.
func (t *textLog) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("2006-01-02T15:04:05.000Z0700"))
	name := levelName(r.Level)
	b.WriteString(" [" + name + "]" + strings.Repeat(" ", 6-len(name)) + module + ": " + oneLine(r.Message))
	attrs := t.attrs
	if r.NumAttrs() > 0 {
		var own strings.Builder
		r.Attrs(func(a slog.Attr) bool { writeAttr(&own, t.group, a); return true })
		attrs += own.String()
	}
	if attrs != "" {
		b.WriteString(":" + attrs)
	}
	b.WriteByte('\n')
	t.out.mu.Lock()
	defer t.out.mu.Unlock()
	_, err := io.WriteString(t.out.w, b.String())
	return err
}

func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, in := range v.Group() {
			writeAttr(b, group, in)
		}
	case v.Kind() == slog.KindTime:
		b.WriteString(" " + group + a.Key + "=" + v.Time().Format(time.RFC3339Nano))
	default:
		b.WriteString(" " + group + a.Key + "=" + quoted(v.String()))
	}
}

func quoted(s string) string {
	special := func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || r == unicode.ReplacementChar || !unicode.IsPrint(r)
	}
	if s == "" || strings.ContainsFunc(s, special) {
		return strconv.Quote(s)
	}
	return s
}

// oneLine keeps a message from passing for two.
func oneLine(s string) string {
	if strings.ContainsFunc(s, unicode.IsControl) {
		return strconv.Quote(s)
	}
	return s
}
