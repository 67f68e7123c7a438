#!/usr/bin/env bash
# Builds the image that the image tests boot, from the release of this checkout, with the real diskimage-builder. An
# image that is newer than the release is kept: ten minutes saved.
# usage: build-image.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
folder=${1:?folder}
mkdir -p "$folder"

if [ -z "${DTUNNEL_DEB:-}" ]; then
  [ -n "$(find build/release -name 'dtunnel_*_amd64.deb' 2> /dev/null)" ] || config/release/build.sh x64
  DTUNNEL_DEB=$(find "$root/build/release" -name 'dtunnel_*_amd64.deb' | sort -V | tail -n 1)
fi
export DTUNNEL_DEB
if [ "$folder/dtunnel.qcow2" -nt "$DTUNNEL_DEB" ] && [ -f "$folder/dtunnel.tar" ]; then
  echo "image: keeping $folder/dtunnel.qcow2"
  exit 0
fi
cd "$folder"
export root
# Where the kernel has no device mapper, the builder finds shims for its tools first, in a mount namespace where they are
# nobody else's. What debootstrap fetched is kept for the next time.
# shellcheck disable=SC2016  # for the inner shell
DIB_DEBOOTSTRAP_CACHE=1 DIB_DEBIAN_USE_DEBOOTSTRAP_CACHE=1 unshare --mount bash -euc '
  if [ ! -e /sys/class/misc/device-mapper ]; then
    mount -t tmpfs shims /usr/local/sbin
    cp "$root/test/openstack/kpartx.sh" /usr/local/sbin/kpartx
    ln -s /bin/true /usr/local/sbin/dmsetup
  fi
  exec nice ionice --class idle "$root/config/dib/build-image.sh" -o dtunnel -t qcow2,tar'
