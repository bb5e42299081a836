#!/usr/bin/env bash
# Installs what the tests need from Debian, if it is not there: Python with pip
# and Node with npm for the clients of others; SoftHSM with OpenSC's tool, and a
# software TPM, for the seals. Says what it installs. Without apt-get it only says
# what is missing.
set -euo pipefail

missing=()
command -v python3 >/dev/null || missing+=(python3)
{ python3 -m pip --version || python3 -c 'import ensurepip'; } >/dev/null 2>&1 || missing+=(python3-pip)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v softhsm2-util >/dev/null || missing+=(softhsm2)
command -v pkcs11-tool >/dev/null || missing+=(opensc)
command -v swtpm >/dev/null || missing+=(swtpm)
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
if ! command -v apt-get >/dev/null; then
	echo "the tests need: ${missing[*]}; install them with your package manager" >&2
	exit 1
fi
echo "installing from Debian: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
