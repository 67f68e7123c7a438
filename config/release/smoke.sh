#!/bin/bash
# Runs a stage under the runtime of an architecture, by qemu-user where it is not this machine's: the addon loads,
# the program starts.
# usage: smoke.sh STAGE x64|arm64
. "$(dirname "$0")/lib.sh"
stage=$1 arch=$2

run=("$(node_runtime "$arch")")
if [ "$arch" != "$(node -p process.arch)" ]; then
  case $arch in x64) qemu=x86_64 gnu=x86_64-linux-gnu ;; arm64) qemu=aarch64 gnu=aarch64-linux-gnu ;; *) die "unknown architecture $arch" ;; esac
  need "qemu-$qemu-static" qemu-user-static
  # The C library of the cross compiler stands for that of the machine.
  run=("qemu-$qemu-static" -L "/usr/$gnu" "${run[@]}")
fi

"${run[@]}" --input-type=module --eval "
  const { loadAddon } = await import('$stage/dist/plane/binding.js');
  const calls = Object.keys(loadAddon());
  if (calls.length === 0) throw new Error('the addon is empty');
  console.log('release: addon of ' + process.arch + ' under Node ' + process.version + ': ' + calls.length + ' calls');
"
"${run[@]}" "$stage/dist/main.js" version
