#!/bin/bash
# Boots the system in a folder with its own systemd as first process, in namespaces of its own: no hypervisor, the
# kernel of this machine. The network namespace has only loopback and what the caller puts into it.
# usage: boot.sh FOLDER NAME [DEVICE]    (DEVICE: network device to wait for before anything starts)
# Ends when the system does; its console is standard output. The caller removes the control group NAME.
set -euo pipefail
root=$1 name=$2 device=${3:-}

# A control group of its own, which the system takes for the whole tree.
for base in /sys/fs/cgroup/unified /sys/fs/cgroup; do
  [ -f "$base/cgroup.procs" ] && [ -w "$base/cgroup.procs" ] && break
done
group=$base/$name
mkdir -p "$group"
echo $$ > "$group/cgroup.procs"

first() {
  until [ -z "$device" ] || ip link show dev "$device" > /dev/null 2>&1; do sleep 0.02; done
  mount --make-rprivate /
  mount --bind "$root" "$root"
  # An archive of a system may leave out what is empty at rest.
  mkdir -p "$root"/{proc,sys,run,dev}
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  mount -t tmpfs -o mode=755,nosuid,strictatime tmpfs "$root/run"
  mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net"
  for entry in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0' 'net/tun 10 200'; do
    read -r node major minor <<< "$entry"
    mknod -m 0666 "$root/dev/$node" c "$major" "$minor"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  # What the system writes to its console is read here, also while nobody writes.
  mkfifo -m 0600 "$root/dev/console"
  cat <> "$root/dev/console" &
  # Nobody logs in there.
  mkdir -p "$root/run/systemd/system"
  ln -s /dev/null "$root/run/systemd/system/console-getty.service"
  # What is not in a namespace belongs to the whole machine: the system may look at it, and set its own network.
  mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
  mount --rbind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,bind,ro "$root/proc/sys"
  hostname "$name"
  cd "$root"
  mkdir -p .before
  pivot_root . .before
  umount --lazy /.before
  # As every container manager has it: what systemd mounts for a unit in one namespace, credentials, reaches the others.
  mount --make-rshared /
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=namespace TERM=dumb \
    setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog --inh-caps=-all \
    /sbin/init --log-target=console --log-level=info --show-status=no
}
export -f first
export root name device
unshare --mount --net --uts --ipc --pid --cgroup --fork --kill-child bash -euc first
