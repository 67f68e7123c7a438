#!/usr/bin/env bash
# Builds the release artefacts twice, and installs, upgrades and removes the Debian package in a clean Debian with its
# own systemd. Some ten minutes, four when that Debian has been made before. DTUNNEL_RELEASE names a folder with artefacts
# to test instead of building them; whether they can be built again is not tested then.
# usage: run.sh [OPTION FOR VITEST…]
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "$(id -u)" != 0 ]; then
  echo 'test:release needs root: it bootstraps a Debian and boots it in namespaces' >&2
  exit 1
fi
bash test/support/install.sh test:release debootstrap xz-utils g++ g++-aarch64-linux-gnu qemu-user-static \
  libipsec-mb-dev
exec node_modules/.bin/vitest run --config test/release/vitest.config.ts "$@"
