package server_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fastness-dev/fastness/server"
)

// stamped gives each record one time.
type stamped struct{ slog.Handler }

func (s stamped) Handle(ctx context.Context, r slog.Record) error {
	r.Time = time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	return s.Handler.Handle(ctx, r)
}

func TestLogFormats(t *testing.T) {
	level := new(slog.LevelVar)
	level.Set(slog.LevelDebug - 4)
	for format, want := range map[string]string{
		"standard": `
2026-01-02T03:04:05.006Z [TRACE] core: small
2026-01-02T03:04:05.006Z [DEBUG] core: with a value: n=1
2026-01-02T03:04:05.006Z [INFO]  core: with texts: a=b c="d e" f="" g="x=y"
2026-01-02T03:04:05.006Z [WARN]  core: with more: node=n1 g.d=1s g.t=2026-01-02T03:04:05.006Z g.h.i=true
2026-01-02T03:04:05.006Z [ERROR] core: "two\nlines": error="one\n2026-01-02T03:04:05.006Z [INFO]  core: forged"
`,
		"json": `
{"@timestamp":"2026-01-02T03:04:05.006000Z","@level":"trace","@message":"small","@module":"core"}
{"@timestamp":"2026-01-02T03:04:05.006000Z","@level":"debug","@message":"with a value","@module":"core","n":1}
{"@timestamp":"2026-01-02T03:04:05.006000Z","@level":"info","@message":"with texts","@module":"core","a":"b","c":"d e","f":"","g":"x=y"}
{"@timestamp":"2026-01-02T03:04:05.006000Z","@level":"warn","@message":"with more","@module":"core","node":"n1","g":{"d":1000000000,"t":"2026-01-02T03:04:05.006Z","h":{"i":true}}}
{"@timestamp":"2026-01-02T03:04:05.006000Z","@level":"error","@message":"two\nlines","@module":"core","error":"one\n2026-01-02T03:04:05.006Z [INFO]  core: forged"}
`,
	} {
		var first, second bytes.Buffer
		log := slog.New(stamped{server.NewHandler(format, level, &first, &second)})
		ctx := t.Context()
		log.Log(ctx, slog.LevelDebug-4, "small")
		log.Debug("with a value", "n", 1)
		log.Info("with texts", "a", "b", "c", "d e", "f", "", "g", "x=y")
		// With copies the handler, so the stamp is put on again.
		more := slog.New(stamped{log.Handler().(stamped).WithAttrs([]slog.Attr{slog.String("node", "n1")}).WithGroup("g")})
		more.Warn("with more", "d", time.Second, "t", time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC), slog.Group("h", "i", true))
		log.Error("two\nlines", "error", errors.New("one\n2026-01-02T03:04:05.006Z [INFO]  core: forged"))
		if got := first.String(); got != strings.TrimPrefix(want, "\n") {
			t.Errorf("%s:\n%s", format, got)
		}
		if first.String() != second.String() {
			t.Errorf("%s: the second writer got %s", format, second.String())
		}
	}
	level.Set(slog.LevelWarn)
	var out bytes.Buffer
	slog.New(server.NewHandler("standard", level, &out)).Info("quiet")
	if out.Len() > 0 {
		t.Errorf("below the level: %s", out.String())
	}
}
