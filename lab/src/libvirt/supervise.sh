#!/bin/bash
# Keeps one private libvirtd: supervise.sh FOLDER system|user
# Each line "start" on stdin starts the daemon. The end of stdin, which also the death of the test is, ends everything.
# In mode system this is process 1 of a pid namespace: when it ends, the kernel kills the daemon and every QEMU.
set -euo pipefail
folder=$1 mode=$2
# Debian's libvirtd asks for this user even if qemu.conf names another one; only libvirt-daemon-system makes it.
with_user() { # DATABASE LINE
  cat "/etc/$1" > "$folder/$1"
  grep -q '^libvirt-qemu:' "$folder/$1" || printf '%s\n' "$2" >> "$folder/$1"
  mount --bind "$folder/$1" "/etc/$1"
}
over() { # OURS THEIRS
  mkdir -p "$1" "$2"
  mount --bind "$1" "$2"
}
if [ "$mode" = system ]; then
  mount --make-rprivate /
  with_user passwd libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin
  with_user group libvirt-qemu:x:64055:
  over "$folder/etc" /etc/libvirt
  over "$folder/var/lib" /var/lib/libvirt
  over "$folder/var/cache" /var/cache/libvirt
  over "$folder/var/run" /run/libvirt
  over "$folder/var/log" /var/log/libvirt
  # Too small for a scratch file; only the daemon and its QEMUs see what is in it.
  mount -t tmpfs -o size=1m,mode=0777 tmpfs "$folder/small"
  environment=()
else
  environment=(env "HOME=$folder/home" "XDG_RUNTIME_DIR=$folder/run" "XDG_CONFIG_HOME=$folder/home/config"
    "XDG_CACHE_HOME=$folder/home/cache" "XDG_DATA_HOME=$folder/home/data")
fi
start() {
  rm -f "$folder/run/libvirtd.pid"
  "${environment[@]}" libvirtd --listen --config "$folder/etc/libvirtd.conf" --pid-file "$folder/run/libvirtd.pid" < /dev/null &
}
# Whoever has killed the daemon, and has not our stdin, writes a line to this pipe (forget-job.sh).
mkfifo "$folder/again"
(while :; do read -r _ < "$folder/again" && start; done) &
again=$!
while read -r command; do
  [ "$command" = start ] && start
done
kill "$again" || true
# Without a namespace nobody kills them for us. The folder's name is in the arguments of what this lab started, and only there.
if [ "$mode" = user ]; then
  for each in /proc/[0-9]*; do
    if tr '\0' '\n' < "$each/cmdline" 2> /dev/null | grep -qF "$folder/"; then kill -9 "${each#/proc/}" 2> /dev/null || true; fi
  done
fi
