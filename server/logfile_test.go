package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/server"
)

// The transcripts write to a log file, let time pass, and look at the folder:
//
//	config           a new log file of this HCL, in an empty folder at $DIR
//	write            lines to log, each for itself
//	later DURATION
//	folder           every file, with its content
func TestLogFile(t *testing.T) {
	datadriven.Walk(t, "testdata/logfile", func(t *testing.T, path string) {
		now := time.Unix(1_700_000_000, 0)
		var dir string
		var log interface {
			Write([]byte) (int, error)
			Close() error
		}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			switch td.Cmd {
			case "config":
				dir = t.TempDir()
				var err error
				log, err = server.OpenLogFile(parseConfig(t, strings.ReplaceAll(td.Input, "$DIR", dir)), func() time.Time { return now })
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := log.Close(); err != nil {
						t.Error(err)
					}
				})
				return ""
			case "write":
				for line := range strings.Lines(td.Input + "\n") {
					if _, err := log.Write([]byte(line)); err != nil {
						t.Fatal(err)
					}
				}
				return ""
			case "later":
				d, err := time.ParseDuration(td.CmdArgs[0].Key)
				if err != nil {
					t.Fatal(err)
				}
				now = now.Add(d)
				return ""
			case "put": // another's file
				if err := os.WriteFile(filepath.Join(dir, td.CmdArgs[0].Key), nil, 0o600); err != nil {
					t.Fatal(err)
				}
				return ""
			case "folder":
				return folder(t, dir)
			}
			t.Fatalf("unknown command %s", td.Cmd)
			return ""
		})
	})
}

func folder(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %o: %s\n", f.Name(), info.Mode().Perm(), strings.Join(strings.Fields(string(text)), " "))
	}
	return b.String()
}
