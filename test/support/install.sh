#!/usr/bin/env bash
# Installs those of the named Debian packages that are missing; as another than root only names them, and fails.
# usage: install.sh PURPOSE PACKAGE…
set -euo pipefail
purpose=$1
shift

missing=()
for package; do
  [ "$(dpkg-query --show --showformat '${db:Status-Abbrev}' "$package" 2> /dev/null)" = 'ii ' ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "$purpose needs: ${missing[*]}" >&2
  exit 1
fi
echo "installing for $purpose: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# Packages of services start them; here they only lie around.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' > $policy
  chmod +x $policy
  trap 'rm -f $policy' EXIT
fi
# Somebody else may be installing at this moment.
wait=(-o DPkg::Lock::Timeout=600)
apt-get "${wait[@]}" update -qq
apt-get "${wait[@]}" install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
