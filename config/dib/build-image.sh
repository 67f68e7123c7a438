#!/bin/bash
# Builds the image of a dtunnel gateway with diskimage-builder, and uploads it with --upload, or uploads what was built
# before with --upload-only.
#
# usage: build-image.sh [-o NAME] [-t qcow2,tar] [--upload | --upload-only] [-- OPTION…]
#   OPTION: for disk-image-create itself
#
# Environment, as in diskimage-builder's manual:
#   ARCH                      amd64 (default) or arm64
#   BASE_ELEMENTS             distribution and kind of image (debian-minimal vm)
#   AGENT_ELEMENTS            what carries out Heat's deployments (dtunnel-heat-agent; empty: none)
#   DEPLOYMENT_BASE_ELEMENTS  what the image is for (dtunnel)
#   DEPLOYMENT_TOOL           further hooks: dtunnel-hook-cfn-init, dtunnel-hook-puppet, dtunnel-hook-salt
#   ELEMENTS_PATH             folders of further elements, searched after ours
#   DIB_LOCAL_IMAGE, DIB_CLOUD_IMAGES, DIB_RELEASE, DIB_DISTRIBUTION_MIRROR, DIB_…   handed through
#   TMPDIR                    where the image grows, without a file system in memory; /var/tmp when less than 12 GiB of
#                             memory is free
#   DTUNNEL_DEB               package to install (default: the one of ARCH in build/release, made by `npm run release`)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

say() { echo "build-image: $*"; }
die() {
  echo "build-image: $*" >&2
  exit 1
}

need() { command -v "$1" > /dev/null || missing+=("$1 ($2)"); }

main() {
  name=dtunnel types=qcow2 upload=no
  while [ $# -gt 0 ]; do
    case $1 in
      -o) name=${2:?-o needs a name} && shift 2 ;;
      -t) types=${2:?-t needs types} && shift 2 ;;
      --upload) upload=yes && shift ;;
      --upload-only) upload=only && shift ;;
      --) shift && break ;;
      -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" && exit 0 ;;
      *) die "unknown option $1, see --help" ;;
    esac
  done
  settings
  check_tools
  if [ $upload != only ]; then
    check_package
    build "$@"
  fi
  [ $upload = no ] || upload
}

settings() {
  export ARCH=${ARCH:-amd64}
  case $ARCH in amd64 | arm64) ;; *) die "ARCH is $ARCH; images are made for amd64 and arm64" ;; esac
  BASE_ELEMENTS=${BASE_ELEMENTS-debian-minimal vm}
  AGENT_ELEMENTS=${AGENT_ELEMENTS-dtunnel-heat-agent}
  DEPLOYMENT_BASE_ELEMENTS=${DEPLOYMENT_BASE_ELEMENTS-dtunnel}
  DEPLOYMENT_TOOL=${DEPLOYMENT_TOOL-}
  export ELEMENTS_PATH=$here/elements${ELEMENTS_PATH:+:$ELEMENTS_PATH}
  [ -n "$BASE_ELEMENTS" ] || die 'BASE_ELEMENTS is empty: name a distribution'
  if [ -n "${DIB_LOCAL_IMAGE:-}" ] && [ ! -f "$DIB_LOCAL_IMAGE" ]; then die "DIB_LOCAL_IMAGE: no file $DIB_LOCAL_IMAGE"; fi
  export PATH=$PATH:/usr/sbin:/sbin
}

# Everything that is missing at once, each with the package that has it.
check_tools() {
  missing=()
  [ $upload = no ] || need openstack python3-openstackclient
  if [ $upload != only ]; then builder_tools; fi
  [ ${#missing[@]} -eq 0 ] || die "missing: $(printf '%s; ' "${missing[@]}" | sed 's/; $//')"
}

builder_tools() {
  need disk-image-create python3-diskimage-builder
  need debootstrap debootstrap
  need sudo sudo
  case $types in *qcow2*) need qemu-img qemu-utils && need kpartx kpartx && need mkfs.vfat dosfstools && need sgdisk gdisk ;; esac
  if [ "$ARCH" != "$(dpkg --print-architecture)" ]; then
    need qemu-debootstrap 'qemu-user-static; since Debian 12 a script of that name that calls debootstrap'
    [ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || [ "$ARCH" != arm64 ] \
      || missing+=('a kernel that runs arm64 programs by qemu (qemu-user-static, binfmt-support)')
  fi
  [ "$(id -u)" = 0 ] || sudo -n true 2> /dev/null || die 'diskimage-builder needs root: run as root, or as one who may sudo'
}

check_package() {
  case " $DEPLOYMENT_BASE_ELEMENTS " in *' dtunnel '*) ;; *) return 0 ;; esac
  if [ -z "${DTUNNEL_DEB:-}" ]; then
    DTUNNEL_DEB=$(find "$root/build/release" -name "dtunnel_*_$ARCH.deb" 2> /dev/null | sort -V | tail -n 1)
    [ -n "$DTUNNEL_DEB" ] || die "no package for $ARCH: run \`npm run release\`, or name one in DTUNNEL_DEB"
  fi
  export DTUNNEL_DEB
  [ "$(dpkg-deb --field "$DTUNNEL_DEB" Architecture)" = "$ARCH" ] || die "$DTUNNEL_DEB is not for $ARCH"
  say "package $(basename "$DTUNNEL_DEB")"
}

# diskimage-builder asks how much memory there is, not how much is free, and mounts a file system in it over any TMPDIR.
choose_folder() {
  if [ -z "${TMPDIR:-}" ]; then
    [ "$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)" -lt 12582912 ] || return 0
    say 'less than 12 GiB of memory is free: building in /var/tmp'
  fi
  export TMPDIR=${TMPDIR:-/var/tmp} DIB_NO_TMPFS=${DIB_NO_TMPFS:-1}
  [ -d "$TMPDIR" ] || die "TMPDIR: no folder $TMPDIR"
}

build() {
  choose_folder
  local elements
  read -ra elements <<< "$BASE_ELEMENTS $AGENT_ELEMENTS $DEPLOYMENT_BASE_ELEMENTS $DEPLOYMENT_TOOL"
  say "elements ${elements[*]}"
  say "log in $name.log"
  disk-image-create -a "$ARCH" -t "$types" -o "$name" "$@" "${elements[@]}" 2>&1 | tee "$name.log" | progress \
    || { tail -n 30 "$name.log" >&2; die "diskimage-builder failed: the reason stands above, all of it in $name.log"; }
  for type in ${types//,/ }; do say "made $name.$type ($(du -h "$name.$type" | cut -f 1))"; done
}

# The phases of diskimage-builder as they begin, out of some ten thousand lines.
progress() {
  awk '{ sub(/^[0-9-]+ [0-9:.]+ \| /, "") }
    match($0, /^dib-run-parts .*Running .*\/([a-z-]+\.d)\/[^\/]+$/) { n = split($0, part, "/"); print "build-image:   " part[n-1] "/" part[n]; fflush() }
    /^Converting image|^Creating tar|^Building in / { print "build-image:   " $0; fflush() }'
}

# A tarball is not a disk, whatever it is called: only the qcow2 goes to Glance.
upload() {
  [ -f "$name.qcow2" ] || die "no $name.qcow2: images of type qcow2 are what Glance gets"
  local machine=x86_64
  [ "$ARCH" = amd64 ] || machine=aarch64
  openstack image create --private --disk-format qcow2 --container-format bare \
    --property os_type=linux --property os_distro=debian --property architecture=$machine \
    --property hw_vif_multiqueue_enabled=true --property hw_qemu_guest_agent=no \
    --file "$name.qcow2" "$(basename "$name")"
}

main "$@"
