#!/bin/bash
# Packs a stage with the addons of all architectures as dtunnel-VERSION.tar.xz, for machines that have Node.
# usage: tarball.sh STAGE
. "$(dirname "$0")/lib.sh"
stage=$1

mkdir -p "$out"
file=$out/dtunnel-$version-linux.tar.xz
tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu \
  --transform "s,^\.,dtunnel-$version,S" -cf - . | xz --threads=1 -6 > "$file"
say "$file"
