#!/usr/bin/env bash
# Unpacks the development packages of newer Debian releases into DIR (default .cache/interop-newer), beside and without
# touching what is installed: Debian 12's Mbed TLS and wolfSSL lack RFC 9146 connection ids, these two have them.
# Uses its own apt state. Exits 0 when both lie there, 3 with a reason when they cannot be had.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
dir="${1:-$here/../../../.cache/interop-newer}"
lib="$dir/usr/lib/x86_64-linux-gnu"
[ -f "$lib/libmbedtls.a" ] && [ -f "$lib/libwolfssl.a" ] && exit 0
give_up() { echo "newer Mbed TLS and wolfSSL cannot be had: $1"; exit 3; }
command -v apt-get >/dev/null || give_up "no apt-get"
[ "$(dpkg --print-architecture)" = amd64 ] || give_up "only amd64 is provided for"
# The mirror that this machine uses for its own release.
# shellcheck disable=SC2016 # apt's own variables
mirror="$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian Debian //p' | head -1)"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if [ -z "$mirror" ] || [ ! -f "$keyring" ]; then give_up "no Debian mirror is configured"; fi

state="$(mktemp -d)"
trap 'rm -rf "$state"' EXIT
mkdir -p "$dir" "$state/lists/partial" "$state/cache/archives/partial"
: >"$state/status"

# RELEASE PACKAGE
fetch() {
  local options=(-o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache"
    -o Acquire::Retries=2 -o Acquire::http::Timeout=30 -o APT::Sandbox::User=root)
  echo "deb [signed-by=$keyring] $mirror $1 main" >"$state/sources.list"
  (cd "$state" && timeout 120 apt-get "${options[@]}" -qq update && timeout 120 apt-get "${options[@]}" -qq download "$2") \
    >"$state/log" 2>&1 && dpkg-deb -x "$state/$2"_*.deb "$dir"
}

for need in trixie:libmbedtls-dev sid:libwolfssl-dev; do
  fetch "${need%%:*}" "${need##*:}" || give_up "${need##*:} of ${need%%:*}: $(tail -1 "$state/log")"
done
