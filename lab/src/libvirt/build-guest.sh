#!/bin/bash
# Builds the lab's guest: build-guest.sh TARGET INIT
# Debian's kernel for clouds, busybox and the real qemu-ga, from packages that apt downloads; makes TARGET/vmlinuz,
# TARGET/initrd.gz and TARGET/modules/<release>. Nothing is installed.
set -euo pipefail
target=$1 init=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
fetch() {
  local kernel
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/{print $2; exit}')
  [ -n "$kernel" ] && (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$kernel" qemu-guest-agent busybox-static)
}
# Without package lists there is nothing to download from.
fetch || { apt-get -qq update && fetch; }
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/files"; done
mkdir -p "$root"/{bin,sbin,dev,proc,sys,run,mnt,lib/modules,usr/sbin,etc,tmp,var}
ln -s ../run "$root/var/run"
ln -s /proc/mounts "$root/etc/mtab"
cp "$work/files/bin/busybox" "$root/bin/"
for name in sh mount umount insmod echo cat sleep dd ls mkdir mke2fs sync poweroff mdev ln od md5sum sha256sum kill basename \
  dmesg rm fstrim head cmp; do
  ln -s busybox "$root/bin/$name"
done
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk virtio_console; do
  cp "$(find "$work/files/lib/modules" -name "$module.ko" | head -1)" "$root/lib/modules/"
done
cp "$work/files/usr/sbin/qemu-ga" "$root/usr/sbin/"
if ldd "$root/usr/sbin/qemu-ga" | grep 'not found' >&2; then
  echo 'this machine lacks libraries of qemu-ga: apt install libglib2.0-0 liburing2 libudev1' >&2
  exit 1
fi
ldd "$root/usr/sbin/qemu-ga" | grep -oE '/[^ ]+\.so[^ ]*' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
printf '#!/bin/sh\nsync; umount /mnt; poweroff -f\n' > "$root/sbin/shutdown"
cp "$init" "$root/init"
chmod +x "$root/init" "$root/sbin/shutdown"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$target/initrd.gz"
cp "$work"/files/boot/vmlinuz-* "$target/vmlinuz"
depmod -b "$work/files" "$(ls "$work/files/lib/modules")"
mv "$work/files/lib/modules" "$target/modules"
