// Command vulnfound reads govulncheck's JSON from standard input and prints the
// ids of the findings whose vulnerable function is called, sorted, one a line.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"slices"
)

func main() {
	ids, err := called(os.Stdin)
	if err != nil {
		log.Fatalf("read govulncheck's report: %v", err)
	}
	for _, id := range ids {
		fmt.Println(id)
	}
}

// called returns the ids whose trace begins with a function: govulncheck also
// tells of vulnerable modules and packages whose bad code is never reached.
func called(r io.Reader) ([]string, error) {
	ids := map[string]bool{}
	dec := json.NewDecoder(r)
	for {
		var message struct {
			Finding *struct {
				OSV   string
				Trace []struct{ Function string }
			}
		}
		if err := dec.Decode(&message); errors.Is(err, io.EOF) {
			return slices.Sorted(maps.Keys(ids)), nil
		} else if err != nil {
			return nil, err
		}
		f := message.Finding
		if f != nil && len(f.Trace) > 0 && f.Trace[0].Function != "" {
			ids[f.OSV] = true
		}
	}
}
