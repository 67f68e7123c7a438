#!/usr/bin/env bash
# Unpacks the development packages of newer Debian releases into DIR (default .cache/interop-newer), beside and without
# touching what is installed: Debian 12's Mbed TLS and wolfSSL lack RFC 9146 connection ids, these two have them.
# Uses its own apt state. Exits 0 when both lie there, 3 with a reason when they cannot be had.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
dir="${1:-$here/../../../.cache/interop-newer}"
lib="$dir/usr/lib/x86_64-linux-gnu"
[ -f "$lib/libmbedtls.a" ] && [ -f "$lib/libwolfssl.a" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "no apt-get: newer libraries cannot be had"; exit 3; }
[ "$(dpkg --print-architecture)" = amd64 ] || { echo "newer libraries are only linked on amd64"; exit 3; }

state="$(mktemp -d)"
trap 'rm -rf "$state"' EXIT
mkdir -p "$dir" "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"

# RELEASE PACKAGE
fetch() {
  local options=(-o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache"
    -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o APT::Sandbox::User=root)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $1 main" >"$state/sources.list"
  (cd "$state" && timeout 120 apt-get "${options[@]}" -qq update && timeout 120 apt-get "${options[@]}" -qq download "$2") \
    >"$state/log" 2>&1 && dpkg-deb -x "$state/$2"_*.deb "$dir"
}

for need in trixie:libmbedtls-dev sid:libwolfssl-dev; do
  fetch "${need%%:*}" "${need##*:}" || { echo "${need##*:} of Debian ${need%%:*} cannot be had: $(tail -1 "$state/log")"; exit 3; }
done
