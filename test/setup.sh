#!/usr/bin/env bash
# Installs the system packages the tests use, when root on Debian; otherwise names what is missing. Tests that need a
# missing program skip themselves and print why.
set -euo pipefail

# command:package
commands=(ip:iproute2 openssl:openssl gnutls-cli:gnutls-bin ping:iputils-ping nft:nftables tcpdump:tcpdump tmux:tmux
  ethtool:ethtool promtool:prometheus shellcheck:shellcheck cloud-init:cloud-init clang++:clang
  os-apply-config:python3-os-apply-config cfn-init:heat-cfntools puppet:puppet-agent)
# file below /usr (a pattern):package; headers are for the foreign ends of test/interop
files=(include/openssl/ssl.h:libssl-dev include/gnutls/dtls.h:libgnutls28-dev include/mbedtls/ssl.h:libmbedtls-dev
  include/wolfssl/ssl.h:libwolfssl-dev include/botan-2/botan/tls_client.h:libbotan-2-dev
  lib/python3/dist-packages/heat/__init__.py:python3-heat
  'lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a:libclang-rt-dev')
# Intel's library, for Intel's architecture
[ "$(uname -m)" != x86_64 ] || files+=(include/intel-ipsec-mb.h:libipsec-mb-dev)

missing=()
for need in "${commands[@]}"; do
  command -v "${need%%:*}" >/dev/null 2>&1 || [ -x "/usr/sbin/${need%%:*}" ] || missing+=("${need##*:}")
done
for need in "${files[@]}"; do
  compgen -G "/usr/${need%%:*}" >/dev/null || missing+=("${need##*:}")
done

if [ ${#missing[@]} -eq 0 ]; then
  :
elif [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing for the tests: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "not installed, the tests that need them will be skipped: ${missing[*]}"
  echo "  to run them all: sudo apt-get install ${missing[*]}"
fi

# Later releases of two libraries, unpacked into .cache for tests of connection ids; without them those are left out.
bash "$(dirname "$0")/interop/peers/newer-libraries.sh" || true
