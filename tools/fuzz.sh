#!/usr/bin/env bash
# Runs every fuzz target of the module for the given time, one after another.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}

grep -rl --include='*_test.go' --exclude-dir=.cache --exclude-dir=node_modules '^func Fuzz' . | xargs -r -n1 dirname | sort -u | while read -r dir; do
	go test -list '^Fuzz' "$dir" | grep '^Fuzz' | while read -r target; do
		echo "== $dir $target for $time"
		go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" "$dir"
	done
done
