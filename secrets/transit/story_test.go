package transit

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) {
		enginetest.Run(t, file, func(map[string]string) engine.Type { return Types()[0] })
	})
}
