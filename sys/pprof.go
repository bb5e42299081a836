package sys

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"time"

	"github.com/fastness-dev/fastness/engine"
)

// Profiles of the process, for "go tool pprof" and "vault debug".

type profileRequest struct {
	Name  string `path:"name"`
	Debug int    `json:"debug" doc:"1 for text that people read."`
}

// profileNames are the profiles that a moment is enough for.
const profileNames = "{name:allocs|block|goroutine|heap|mutex|threadcreate}"

func (s *System) profile(_ engine.View, req profileRequest) (*engine.Raw, error) {
	p := pprof.Lookup(req.Name)
	if p == nil {
		return nil, engine.Missing("unknown profile")
	}
	var b bytes.Buffer
	if err := p.WriteTo(&b, req.Debug); err != nil {
		return nil, fmt.Errorf("write profile: %w", err)
	}
	a := &engine.Raw{ContentType: "application/octet-stream", Body: b.Bytes()}
	if req.Debug > 0 {
		a.ContentType = "text/plain; charset=utf-8"
	}
	return a, nil
}

func (s *System) profileIndex(engine.View, engine.None) (*engine.Raw, error) {
	var b bytes.Buffer
	b.WriteString("<html><head><title>pprof</title></head><body><ul>\n")
	for _, p := range pprof.Profiles() {
		fmt.Fprintf(&b, "<li>%d <a href=\"pprof/%s?debug=1\">%s</a></li>\n", p.Count(), p.Name(), p.Name())
	}
	b.WriteString("</ul></body></html>\n")
	return &engine.Raw{ContentType: "text/html; charset=utf-8", Body: b.Bytes()}, nil
}

// commandLine has NULs between the words, as in /proc.
func (s *System) commandLine(engine.View, engine.None) (*engine.Raw, error) {
	return &engine.Raw{ContentType: "text/plain; charset=utf-8", Body: []byte(strings.Join(withoutToken(os.Args), "\x00"))}, nil
}

// withoutToken is a command line without the root token that -dev may be given:
// a listener may show profiles to everyone.
func withoutToken(args []string) []string {
	shown := slices.Clone(args)
	for i, a := range shown {
		name, _, joined := strings.Cut(a, "=")
		if strings.TrimLeft(name, "-") != "dev-root-token-id" {
			continue
		}
		if joined {
			shown[i] = name + "=…"
		} else if i+1 < len(shown) {
			shown[i+1] = "…"
		}
	}
	return shown
}

// symbols says that the binary has its own: pprof needs to ask no more.
func (s *System) symbols(engine.View, engine.None) (*engine.Raw, error) {
	return &engine.Raw{ContentType: "text/plain; charset=utf-8", Body: []byte("num_symbols: 1\n")}, nil
}

type spanRequest struct {
	Seconds int `json:"seconds" doc:"How long to look."`
}

// maxSpan bounds a look at the running process.
const maxSpan = 10 * time.Minute

// span waits for as long as was asked for, or until the client goes.
func (r spanRequest) span(ctx context.Context, standard time.Duration) error {
	d := time.Duration(r.Seconds) * time.Second
	switch {
	case r.Seconds == 0:
		d = standard
	case r.Seconds < 0 || r.Seconds > int(maxSpan/time.Second):
		return engine.Bad("seconds must be from 1 to %d", int(maxSpan/time.Second))
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	return nil
}

func (s *System) processorProfile(ctx context.Context, _ *engine.Caller, req spanRequest) (*engine.Raw, error) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return nil, engine.Status(http.StatusConflict, "somebody else profiles the processor: try again when they are done")
	}
	err := req.span(ctx, 30*time.Second)
	pprof.StopCPUProfile()
	return &engine.Raw{ContentType: "application/octet-stream", Body: b.Bytes()}, err
}

func (s *System) trace(ctx context.Context, _ *engine.Caller, req spanRequest) (*engine.Raw, error) {
	var b bytes.Buffer
	if err := trace.Start(&b); err != nil {
		return nil, engine.Status(http.StatusConflict, "somebody else traces: try again when they are done")
	}
	err := req.span(ctx, time.Second)
	trace.Stop()
	return &engine.Raw{ContentType: "application/octet-stream", Body: b.Bytes()}, err
}

func pprofRoutes() engine.Routes[System] {
	return engine.Routes[System]{
		engine.Read("pprof", (*System).profileIndex).RootNamespace().Doc("List the profiles of the process."),
		engine.Read("pprof/cmdline", (*System).commandLine).RootNamespace().Doc("Show the command line."),
		engine.Read("pprof/symbol", (*System).symbols).RootNamespace().Doc("Say that the binary has its symbols."),
		engine.Read("pprof/"+profileNames, (*System).profile).RootNamespace().Doc("Show a profile."),
		engine.Outside("pprof/profile", engine.OpRead, (*System).processorProfile).RootNamespace().Doc("Profile the processor for a while."),
		engine.Outside("pprof/trace", engine.OpRead, (*System).trace).RootNamespace().Doc("Trace the process for a while."),
	}
}
