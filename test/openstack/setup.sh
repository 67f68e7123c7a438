#!/usr/bin/env bash
# Installs what the OpenStack and image tests run against, from Debian's packages: Heat, keystone, Glance, their clients
# and agents, diskimage-builder, cloud-init. Some 500 packages, two minutes; services are not started.
set -euo pipefail

packages=(heat-engine heat-api heat-api-cfn keystone python3-heatclient python3-openstackclient
  python3-os-collect-config python3-os-apply-config python3-os-refresh-config python3-dib-utils
  heat-cfntools puppet-agent cloud-init)
if [ "${1:-}" = image ]; then
  packages+=(python3-diskimage-builder debootstrap qemu-utils kpartx dosfstools gdisk sudo cloud-image-utils glance-api
    python3-glanceclient xz-utils g++-aarch64-linux-gnu qemu-user-static)
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat '${db:Status-Abbrev}' "$package" 2> /dev/null)" = 'ii ' ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "not installed: ${missing[*]}" >&2
  exit 1
fi
echo "installing for the OpenStack tests: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Packages of services start them; here they only lie around.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
