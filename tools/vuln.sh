#!/usr/bin/env bash
# Runs govulncheck and fails on every finding whose vulnerable code we call,
# unless tools/vuln-accepted.txt gives its reason. A listed finding that is
# gone fails too, so that the list stays short. Where the database cannot be
# reached, it says so and passes: that run proves nothing.
set -uo pipefail
cd "$(dirname "$0")/.."
govulncheck=$1
report=$(mktemp)
trap 'rm -f "$report" "$report.err"' EXIT

"$govulncheck" -format=json ./... >"$report" 2>"$report.err"
status=$?
if [ $status -ne 0 ]; then
	if grep -qE 'fetching vulnerabilities|no such host|connection refused|i/o timeout|network is unreachable' "$report.err"; then
		echo "!!!! VULNERABILITIES WERE NOT CHECKED: the Go vulnerability database cannot be reached from here"
		exit 0
	fi
	cat "$report.err"
	exit $status
fi

# A finding is called code when its trace names a function.
found=$(cd tools && go run ./vulnfound <"$report") || exit 1
accepted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' tools/vuln-accepted.txt | awk '{print $1}' | sort -u)
new=$(comm -23 <(echo "$found" | sed '/^$/d') <(echo "$accepted" | sed '/^$/d'))
gone=$(comm -13 <(echo "$found" | sed '/^$/d') <(echo "$accepted" | sed '/^$/d'))
[ -z "$new" ] || { echo "vulnerabilities in code that is called:"; echo "$new"; }
[ -z "$gone" ] || { echo "no longer found, take them out of tools/vuln-accepted.txt:"; echo "$gone"; }
[ -z "$new$gone" ] || exit 1
echo "no vulnerability but the accepted ones: $(echo "$accepted" | sed '/^$/d' | wc -l)"
