#!/bin/bash
# Boots the system in a folder with its own systemd as first process, in namespaces of its own: no hypervisor, the
# kernel of this machine. The network namespace has only loopback and what the caller puts into it.
# usage: boot.sh FOLDER NAME    (ends when the system does; its console is standard output; the caller removes the
# control group NAME)
set -euo pipefail
root=$1 name=$2

# A control group of its own, which the system takes for the whole tree.
for base in /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -f "$base/cgroup.procs" ] && [ -w "$base/cgroup.procs" ] && break
done
group=$base/$name
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"

first() {
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,nosuid,strictatime tmpfs "$root/run"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net"
  for device in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'net/tun 10 200'; do
    read -r node major minor <<< "$device"
    mknod -m 0666 "$root/dev/$node" c "$major" "$minor"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  # Cleared here, since the system may not write below /proc/sys for the whole machine.
  hostname "$name"
  cd "$root"
  mkdir -p .before
  pivot_root . .before
  umount --lazy /.before
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=namespace TERM=dumb \
    /sbin/init --log-target=console --log-level=info --show-status=no
}
export -f first
export root name
unshare --mount --net --uts --ipc --pid --cgroup --fork --kill-child bash -euc first
