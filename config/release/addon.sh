#!/bin/bash
# Builds the addon for an architecture, with Debian's cross compiler where it is not this machine's.
# usage: addon.sh x64|arm64 FILE
. "$(dirname "$0")/lib.sh"
arch=$1 file=$2

if [ "$arch" = "$(node -p process.arch)" ]; then
  prefix=''
  need g++ g++
else
  case $arch in x64) prefix=x86_64-linux-gnu- ;; arm64) prefix=aarch64-linux-gnu- ;; *) die "unknown architecture $arch" ;; esac
  need "${prefix}g++" "g++-${prefix%-}"
fi

# The library is used where it is installed, by a build that saw its header: without it the artefacts would be others.
[ "$arch" != x64 ] || [ -f /usr/include/intel-ipsec-mb.h ] || die 'the header of ipsec-mb is missing: apt-get install libipsec-mb-dev'

# In a copy: the working tree's own build stays as it is, and the path is the same in every build.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/native" "$work/native"
rm -rf "$work/native/build"
cp "$root/package.json" "$work/"
ln -s "$root/node_modules" "$work/node_modules"

# The headers that came with node, where they did: no download, the same in every build.
headers=()
nodedir=$(node -p 'require("path").resolve(process.execPath, "../..")')
[ ! -f "$nodedir/include/node/node_api.h" ] || headers=("--nodedir=$nodedir")

say "addon for $arch"
export CC=${prefix}gcc CXX=${prefix}g++ AR=${prefix}ar
export CFLAGS="-ffile-prefix-map=$work=." CXXFLAGS="-ffile-prefix-map=$work=. -ffile-prefix-map=$root=."
(cd "$work" && "$root/node_modules/.bin/node-gyp" rebuild --directory native --arch="$arch" "${headers[@]}" --loglevel error > "$work/log" 2>&1) \
  || { cat "$work/log" >&2; die "the addon does not build for $arch"; }
mkdir -p "$(dirname "$file")"
"${prefix}strip" --strip-unneeded -o "$file" "$work/native/build/Release/dtunnel.node"
chmod 0755 "$file"
