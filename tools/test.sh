#!/usr/bin/env bash
# Every test of the module, one command: the packages under the race detector
# where there is a C compiler, then the clients of others against a fresh build.
set -euo pipefail
cd "$(dirname "$0")/.."

race=()
if [ "$(go env CGO_ENABLED)" = 1 ] && command -v "$(go env CC)" >/dev/null; then
	race=(-race)
else
	echo "no C compiler: the tests run without the race detector"
fi

clients=github.com/fastness-dev/fastness/test/clients
mapfile -t packages < <(go list ./... | grep -vx "$clients")
go test "${race[@]}" -timeout=30m "${packages[@]}"
go test -count=1 -timeout=30m -v "./test/clients"
