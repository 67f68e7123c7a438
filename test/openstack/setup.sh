#!/usr/bin/env bash
# Installs what the OpenStack and image tests run against, from Debian's packages: Heat, keystone, Glance, their clients
# and agents, diskimage-builder, cloud-init. Some 500 packages, two minutes; services are not started.
# usage: setup.sh openstack|image
set -euo pipefail
suite=${1:?openstack or image}

packages=(heat-engine heat-api heat-api-cfn keystone python3-heatclient python3-openstackclient
  python3-os-collect-config python3-os-apply-config python3-os-refresh-config python3-dib-utils
  heat-cfntools puppet-agent cloud-init)
if [ "$suite" = image ]; then
  packages+=(python3-diskimage-builder debootstrap qemu-utils kpartx dosfstools gdisk sudo cloud-image-utils glance-api
    python3-glanceclient xz-utils libipsec-mb-dev)
fi
exec bash "$(dirname "$0")/../support/install.sh" "test:$suite" "${packages[@]}"
