package approle_test

import (
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/fastness-dev/fastness/auth/approle"
	"github.com/fastness-dev/fastness/engine"
	"github.com/fastness-dev/fastness/engine/enginetest"
)

func typeOf(map[string]string) engine.Type { return approle.Types()[0] }

func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, file string) { enginetest.Run(t, file, typeOf) })
}
