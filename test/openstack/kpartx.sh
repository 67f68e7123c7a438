#!/bin/bash
# kpartx for a kernel without device mapper, as diskimage-builder calls it: partitions of a loop device by the kernel's
# own table, under the names that kpartx would give them.
set -euo pipefail
device=${*: -1}
name=$(basename "$device")
mkdir -p /dev/mapper
case $1 in
  -a* | -u*)
    partx --add "$device" 2> /dev/null || partx --update "$device"
    for part in "$device"p*; do
      ln -sf "$part" "/dev/mapper/$(basename "$part")"
      echo "add map $(basename "$part") (0:0): linear $device"
    done
    ;;
  -d*)
    rm -f "/dev/mapper/$name"p*
    partx --delete "$device" 2> /dev/null || true
    ;;
esac
