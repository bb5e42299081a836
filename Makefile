# make run   starts the server in dev mode: in memory, unsealed, token printed
# make pkcs11 builds the program that holds an HSM's library; it needs a C compiler
# make test  passes every test, and installs by itself what a test needs
# make lint  gofmt, vet, golangci-lint and govulncheck, as CI does
# make bench measures CPU per request against a bare net/http TLS server
# make fuzz  runs each fuzz target for FUZZTIME
# make crash kills the server with SIGKILL CRASHES times under load
# make faults-long cuts the power POWER_CUTS times, and damages larger stores

GO       ?= go
FUZZTIME ?= 30s
CRASHES  ?= 500
POWER_CUTS ?= 5000
SECRETS  ?= 1000000
CACHE    := $(CURDIR)/.cache

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null | sed s/^v// | grep . || echo unknown)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE     ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
STAMP    := github.com/fastness-dev/fastness/internal/version
LDFLAGS  := -X $(STAMP).Version=$(VERSION) -X $(STAMP).Commit=$(COMMIT) -X $(STAMP).Date=$(DATE)

.PHONY: run build pkcs11 test lint bench fuzz crash faults-long clean

run:
	$(GO) run ./cmd/fastness server -dev

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/fastness ./cmd/fastness

pkcs11:
	CGO_ENABLED=1 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/fastness-pkcs11 ./cmd/fastness-pkcs11

# The race detector needs a C compiler; without one the same tests run plain.
# The client tests drive another process, which the detector does not see.
test:
	bash test/clients/debian.sh
	bash tools/test.sh

lint:
	bash tools/lint.sh

bench:
	$(GO) run ./test/bench -secrets=$(SECRETS)

fuzz:
	bash tools/fuzz.sh $(FUZZTIME)

crash:
	$(GO) test -count=1 -timeout=2h -run=Crash ./test/crash -args -crashes=$(CRASHES)

faults-long:
	$(GO) test -count=1 -timeout=2h -v -run=PowerCut ./storage/raft -args -power-cuts=$(POWER_CUTS)
	$(GO) test -count=1 -timeout=2h ./test/faults -args -secrets=3000

clean:
	rm -rf bin $(CACHE) test/clients/node/node_modules
