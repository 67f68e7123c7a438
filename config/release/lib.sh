# shellcheck shell=bash disable=SC2034  # what is set here is used by those who source it
# What the steps of a release have in common. Sourced by them, not run.
#
# The same commit gives the same octets wherever it is built: times are those of the commit, owners are 0, names are
# sorted, paths of the machine are mapped away, and everything downloaded is pinned by hash.
set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/config/release
out=${DTUNNEL_RELEASE_OUT:-$root/build/release}
cache=${DTUNNEL_RELEASE_CACHE:-$root/.cache/release}

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
export SOURCE_DATE_EPOCH

version=$(node -p 'JSON.parse(require("fs").readFileSync(process.argv[1], "utf8")).version' "$root/package.json")

say() { echo "release: $*"; }
die() {
  echo "release: $*" >&2
  exit 1
}

# Ends with the Debian package to install when a program is missing.
need() { command -v "$1" > /dev/null || die "$1 is missing: apt-get install $2"; }

# The name of an architecture in Debian, for node's.
debian_arch() { case $1 in x64) echo amd64 ;; arm64) echo arm64 ;; *) die "unknown architecture $1" ;; esac; }

# Puts the Node runtime for an architecture under the cache and prints the path of the program.
node_runtime() {
  local arch=$1 node_version hash file
  node_version=$(awk '$1 == "version" { print $2 }' "$here/node-runtime")
  hash=$(awk -v arch="$arch" '$1 == arch { print $2 }' "$here/node-runtime")
  file=$cache/node-linux-$arch-$node_version.tgz
  mkdir -p "$cache"
  if [ ! -f "$file" ]; then
    (cd "$cache" && npm pack --silent "node-linux-$arch@$node_version" > /dev/null 2>&1) || true
    [ -f "$file" ] || die "cannot fetch node-linux-$arch@$node_version from the npm registry"
  fi
  [ "sha512-$(openssl dgst -sha512 -binary "$file" | base64 -w 0)" = "$hash" ] || die "$file is not what was pinned"
  if [ ! -x "$cache/node-$node_version-$arch/bin/node" ]; then
    mkdir -p "$cache/node-$node_version-$arch"
    tar -xzf "$file" -C "$cache/node-$node_version-$arch" --strip-components 1 --no-same-owner package/bin/node package/LICENSE
  fi
  echo "$cache/node-$node_version-$arch/bin/node"
}
