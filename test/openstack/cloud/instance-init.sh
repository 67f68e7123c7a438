#!/bin/bash
# The first process of an instance: the machine's own file system under a layer of its own, as an image with the agents
# would have it, in a mount and network namespace that the caller has made.
# usage: instance-init.sh FOLDER ELEMENT PROGRAM COMMAND…    (FOLDER: for the layer; PROGRAM: dtunnel)
set -euo pipefail
folder=$1 element=$2 program=$3
shift 3

mount --make-rprivate /
mount -t tmpfs instance "$folder"
mkdir "$folder"/{upper,work,root}
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" instance "$folder/root"
root=$folder/root
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs run "$root/run"

# What the image would hold, and nothing of what this machine may hold.
rm -rf "$root/etc/dtunnel" "$root/var/lib/os-collect-config" "$root/var/lib/heat-config" "$root/var/lib/heat-cfntools"
mkdir -p "$root/etc/dtunnel" "$root/var/lib/heat-cfntools"
cp -r "$element/static/." "$root/"
install -m 0755 "$program" "$root/usr/bin/dtunnel"
[ ! -f "$folder.data" ] || cp "$folder.data" "$root/var/lib/heat-cfntools/cfn-init-data"

ip link set lo up
until ip link show dev eth0 > /dev/null 2>&1; do sleep 0.05; done
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$root/run/booted"
chroot "$root" "$@" &
wait
