#!/bin/bash
# Serves one NBD fixture in the foreground, from inside a folder of its own, until it is killed.
#
#   nbd-fixtures.sh              lists the fixtures
#   nbd-fixtures.sh NAME FOLDER  serves NAME on FOLDER/nbd.sock; FOLDER/pid appears when it is ready
#
# Fixtures that begin with tls or qemu-tls need FOLDER/pki (ca-cert.pem, server-cert.pem, server-key.pem) or, where
# their name ends in psk, FOLDER/keys.psk. Everything here runs on Debian 12: nbdkit 1.32, qemu-nbd 7.2.
set -euo pipefail

if [ $# -eq 0 ]; then
  sed -n 's/^  \([a-z0-9-]*\))$/\1/p' "$0"
  exit
fi

name=$1
cd "$2"

kit() { exec nbdkit --foreground --unix nbd.sock --pidfile pid "$@"; }

qemu() { exec qemu-nbd --read-only --persistent --pid-file=pid --socket="$PWD/nbd.sock" --export-name=vda "$@"; }

# A small disk image: data, zeros, and a hole.
image() {
  qemu-img create -q -f qcow2 disk.qcow2 64M
  qemu-io -c 'write -P 0x55 0 1M' -c 'write -z 1M 1M' -c 'write -P 0xaa 63M 1M' disk.qcow2 >image.log
}

# As many dirty runs as a bitmap of 64 KiB grains in 64 MiB can have.
bitmap() {
  qemu-img bitmap --add -g 64k disk.qcow2 b0
  local -a writes=()
  for ((grain = 0; grain < 1024; grain += 2)); do writes+=(-c "write -q $((grain * 64))k 4k"); done
  qemu-io "${writes[@]}" disk.qcow2 >bitmap.log
}

# A disk of zeros made of shell functions, so that every answer can be bent.
zeros='dd if=/dev/zero bs=$3 count=1 2>/dev/null'

case $name in
  # What disks look like.
  memory)
    kit memory 64M ;;
  readonly)
    kit --readonly memory 1M ;;
  pattern)
    kit pattern 64M ;;
  zero-size)
    kit null size=0 ;;
  odd-size)
    kit data 'data=( 0x55 0xAA )*512 @0x100000 1*4096 @0x4000000 0' ;;
  truncate)
    kit --filter=truncate memory 1M truncate=3M ;;
  sparse-random)
    # A write of other bytes than it gives is an error.
    kit sparse-random size=10G percent=10 runlength=1048576 seed=42 ;;
  fragmented)
    kit sparse-random size=1G percent=50 runlength=65536 seed=42 ;;
  sparse-1t)
    kit memory size=1T ;;
  huge)
    kit pattern size=9223372036854775807 ;;

  # disk.raw, which was put into FOLDER before.
  file)
    kit file disk.raw ;;
  file-4k)
    kit --filter=blocksize-policy file disk.raw blocksize-minimum=4096 blocksize-error-policy=error ;;
  qemu-file)
    exec qemu-nbd --persistent --format=raw --shared=8 --discard=unmap --pid-file=pid --socket="$PWD/nbd.sock" \
      --export-name=vda disk.raw ;;

  # How servers negotiate.
  no-structured-replies)
    kit --no-sr pattern 1M ;;
  newstyle-unfixed)
    kit --mask-handshake=0 pattern 1M ;;
  with-zeroes)
    kit --mask-handshake=1 --no-sr pattern 1M ;;
  oldstyle)
    kit --oldstyle memory 1M ;;
  exports)
    kit --filter=exportname memory 1M exportname-list=explicit exportname=vda exportname=vdb exportname-strict=true ;;
  open-refused)
    kit eval open='echo ECONNREFUSED no >&2; exit 1' get_size='echo 1024' pread='exit 1' ;;
  hang-open)
    kit --filter=delay memory 1M delay-open=3600 ;;
  limit-1)
    kit --filter=limit pattern 1M limit=1 ;;
  no-multi-conn)
    kit --filter=multi-conn memory 1M multi-conn-mode=disable ;;

  # What they know of their extents.
  no-extents)
    kit --filter=noextents memory 1M ;;
  all-flags)
    kit eval get_size='echo 1048576' can_extents='exit 0' pread="$zeros" \
      extents='echo 0 64k; echo 64k 64k hole,zero; echo 128k 64k zero; echo 192k 64k hole; echo 256k 768k' ;;
  extents-fail)
    kit --filter=error memory 1M error=EIO error-extents-rate=1 ;;

  # What they can do.
  block-size)
    kit --filter=blocksize-policy pattern 1M blocksize-minimum=4096 blocksize-preferred=64K blocksize-maximum=128K \
      blocksize-error-policy=error ;;
  no-zero)
    kit --filter=nozero memory 1M ;;
  slow)
    kit --filter=delay pattern 16M rdelay=20ms ;;
  no-flush)
    kit eval get_size='echo 1048576' can_write='exit 0' can_flush='exit 3' can_multi_conn='exit 3' pread="$zeros" \
      pwrite='cat >/dev/null' ;;

  # How they fail.
  hang)
    kit --filter=delay memory 1M rdelay=3600 ;;
  # Answers nothing between 'p' and 'r' on FOLDER/control.
  pause)
    kit --filter=pause pattern 1M pause-control="$PWD/control" ;;
  eio)
    kit --filter=error pattern 1M error=EIO error-pread-rate=1 error-file="$PWD/fail" ;;
  eio-at-random)
    kit --filter=error pattern 4M error=EIO error-pread-rate=20% ;;
  eio-at-32m)
    kit eval get_size='echo 67108864' \
      pread="if [ \$4 -ge 33554432 ]; then echo EIO bad sector >&2; exit 1; fi; $zeros" ;;
  no-space)
    kit --filter=error memory 1M error=ENOSPC error-pwrite-rate=100% ;;
  dies-at-32m)
    kit eval get_size='echo 67108864' pread="if [ \$4 -ge 33554432 ]; then kill -9 \$PPID; fi; $zeros" ;;

  # What clients did.
  log)
    kit --filter=log memory 64M logfile="$PWD/log" ;;

  # TLS.
  tls)
    kit --tls=require --tls-certificates="$PWD/pki" pattern 16M ;;
  tls-optional)
    # Who comes in clear reads something else.
    kit --filter=tls-fallback --tls=on --tls-certificates="$PWD/pki" pattern 1M tlsreadme='in clear' ;;
  # Shows a client in clear another disk: what somebody between would like to see restored.
  tls-fallback)
    kit --filter=tls-fallback --tls=on --tls-certificates="$PWD/pki" pattern 1M tlsreadme='no TLS, no data' ;;
  tls-client)
    kit --tls=require --tls-verify-peer --tls-certificates="$PWD/pki" pattern 1M ;;
  tls-psk)
    kit --tls=require --tls-psk="$PWD/keys.psk" pattern 1M ;;

  # The server that libvirt gives us.
  qemu)
    image
    qemu --format=qcow2 --shared=8 disk.qcow2 ;;
  qemu-bitmap)
    image
    bitmap
    qemu --format=qcow2 --shared=8 --allocation-depth --bitmap=b0 disk.qcow2 ;;
  qemu-one-client)
    image
    qemu --format=qcow2 --shared=1 disk.qcow2 ;;
  qemu-tls)
    image
    qemu --format=qcow2 --shared=8 --object "tls-creds-x509,id=tls0,dir=$PWD/pki,endpoint=server,verify-peer=on" \
      --tls-creds tls0 disk.qcow2 ;;
  qemu-tls-psk)
    image
    qemu --format=qcow2 --shared=8 --object "tls-creds-psk,id=tls0,dir=$PWD,endpoint=server" --tls-creds tls0 disk.qcow2 ;;

  *)
    echo "nbd-fixtures.sh: no fixture is called $name" >&2
    exit 2 ;;
esac
