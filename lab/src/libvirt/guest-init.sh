#!/bin/sh
# /init of the lab's guest: modules, a file system on the first disk, the guest agent. "vbwriter" on the kernel's command
# line makes it write without end.
export PATH=/bin:/sbin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for m in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio_console; do
  insmod "/lib/modules/$m.ko"
done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 50 ]; do
  sleep 0.1
  i=$((i + 1))
done
mount -t ext4 /dev/vda /mnt 2> /dev/null || {
  mke2fs -F /dev/vda > /dev/null 2>&1
  mount -t ext4 /dev/vda /mnt
}
for p in /sys/class/virtio-ports/*; do
  [ -f "$p/name" ] && [ "$(cat "$p/name")" = org.qemu.guest_agent.0 ] && port=/dev/${p##*/}
done
[ -n "$port" ] && qemu-ga -d -m virtio-serial -p "$port" -t /run -f /run/qga.pid
echo "GUEST-READY $(cat /proc/uptime)"
n=0
while :; do
  case "$(cat /proc/cmdline)" in
    *vbwriter*)
      n=$((n + 1))
      echo "seq $n" > /mnt/seq
      dd if=/dev/urandom of=/mnt/f$((n % 8)) bs=64k count=4 2> /dev/null
      sync
      ;;
  esac
  sleep 1
done
