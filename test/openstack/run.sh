#!/usr/bin/env bash
# Runs the tests of this folder against real OpenStack services, in namespaces of their own: whatever they start ends
# with them, and nothing of it is reachable from outside.
# usage: run.sh openstack|image [OPTION FOR VITEST…]
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=${1:?openstack or image}
shift
if [ "$(id -u)" != 0 ]; then
  echo "test:$suite needs root: it makes namespaces and starts services" >&2
  exit 1
fi
bash test/openstack/setup.sh "$suite"
export DTUNNEL_SUITE=$suite
# The builder needs the network that the tests must not have.
if [ "$suite" = image ]; then
  export DTUNNEL_IMAGE=${DTUNNEL_IMAGE:-$PWD/build/image}
  bash test/openstack/build-image.sh "$DTUNNEL_IMAGE"
fi
exec unshare --mount --net --pid --fork --kill-child --mount-proc bash -euc '
  ip link set lo up
  ip link add cloud type bridge
  ip address add 198.18.0.1/24 dev cloud
  ip link set cloud up
  exec node_modules/.bin/vitest run --config test/openstack/vitest.config.ts "$@"' bash "$@"
