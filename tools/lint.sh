#!/usr/bin/env bash
# What a change must pass besides its tests: build, vet, gofmt, golangci-lint
# and govulncheck. The two tools are pinned in tools/go.mod and built into
# .cache/bin, which takes some minutes once.
set -euo pipefail
cd "$(dirname "$0")/.."
bin="$PWD/.cache/bin"

step() { echo "== $*"; }

step build
go build ./...

step vet
go vet ./...
(cd test/clients/go && go vet ./...)
(cd test/oidc/party && go vet ./...)

step gofmt
bad=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
if [ -n "$bad" ]; then
	echo "gofmt wants changes in:"
	echo "$bad"
	exit 1
fi

# Built by name from the pinned module, again only when the pins change.
tool() {
	local name=$1 path=$2 stamp
	stamp="$bin/$name.$(sha256sum tools/go.sum | cut -c1-12)"
	if [ ! -e "$stamp" ]; then
		echo "building $name from the Go module proxy (once)"
		mkdir -p "$bin"
		rm -f "$bin/$name".*
		(cd tools && CGO_ENABLED=0 go build -o "$bin/$name" "$path")
		touch "$stamp"
	fi
}

step golangci-lint
tool golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
GOLANGCI_LINT_CACHE="$PWD/.cache/golangci-lint" "$bin/golangci-lint" run --timeout=15m ./...

step govulncheck
tool govulncheck golang.org/x/vuln/cmd/govulncheck
bash tools/vuln.sh "$bin/govulncheck"
