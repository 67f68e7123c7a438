#!/bin/bash
# Makes the release artefacts in build/release: a tarball with the addons of x64 and arm64 for machines that have Node,
# a Debian package with Node inside for each, and SHA256SUMS. Two builds of one commit are equal octet by octet.
# usage: build.sh [x64] [arm64]    (without arguments: both)
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || set -- x64 arm64
need xz xz-utils

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage
"$here/stage.sh" "$stage"
for arch; do "$here/addon.sh" "$arch" "$stage/native/prebuilt/linux-$arch/dtunnel.node"; done
for arch; do "$here/smoke.sh" "$stage" "$arch"; done
rm -rf "$out"
"$here/tarball.sh" "$stage"
for arch; do "$here/deb.sh" "$stage" "$arch"; done
(cd "$out" && sha256sum -- * > SHA256SUMS && cat SHA256SUMS)
