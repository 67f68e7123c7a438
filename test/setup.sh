#!/usr/bin/env bash
# Installs the system packages the tests use, when root on Debian; otherwise names what is missing. Tests that need a
# missing program skip themselves and print why.
set -euo pipefail

# command:package
needs=(ip:iproute2 openssl:openssl gnutls-cli:gnutls-bin ping:iputils-ping nft:nftables tcpdump:tcpdump tmux:tmux promtool:prometheus heat-manage:python3-heat shellcheck:shellcheck cloud-init:cloud-init)

missing=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${need%%:*}" ] || missing+=("${need##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing for the tests: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "not installed, the tests that need them will be skipped: ${missing[*]}"
  echo "  to run them all: sudo apt-get install ${missing[*]}"
fi
