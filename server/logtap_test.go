package server_test

import (
	"bufio"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fastness-dev/fastness/server"
)

// Who follows the log sees what is logged after the answer began, of the level
// that was asked for, until the server ends.
func TestMonitorFollowsTheLog(t *testing.T) {
	tap := server.NewLogTap()
	logger := slog.New(tap.Over(slog.DiscardHandler)).With("module", "tests")
	w := openWith(t, func(o *server.Options) { o.LogTap, o.Logger = tap, logger })
	at := httptest.NewServer(w.h)
	defer at.Close()
	follow := func(query string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.URL+"/v1/sys/monitor"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Vault-Token", w.root)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	for _, query := range []string{"?log_level=loud", "?log_format=xml"} {
		if got := follow(query); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s answered %d", query, got.StatusCode)
		}
	}
	all, warnings := bufio.NewReader(follow("?log_level=debug&log_format=json").Body), bufio.NewReader(follow("?log_level=warn").Body)
	if waits := w.s.InFlight(); len(waits) > 0 {
		t.Errorf("sealing would wait for %v", waits)
	}
	logger.Debug("whispered")
	logger.Warn("cried", "n", 1)
	tap.End()
	for from, want := range map[*bufio.Reader][]string{all: {`"module":"tests"`, `"@message":"cried"`}, warnings: {"cried: module=tests n=1"}} {
		var lines string
		for {
			line, err := from.ReadString('\n')
			if err != nil {
				break // the end, as the server has ended
			}
			lines += line
		}
		for _, text := range want {
			if !strings.Contains(lines, text) {
				t.Errorf("no %s in %q", text, lines)
			}
		}
		if strings.Contains(lines, "whispered") != (from == all) {
			t.Errorf("debug lines: %q", lines)
		}
	}
}
