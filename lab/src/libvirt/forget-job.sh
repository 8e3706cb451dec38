#!/bin/bash
# The cure for a daemon that was killed when it had noted that a job begins, and not yet which: it holds the domain for a job that it
# cannot end, until the note is taken away while it does not run. forget-job.sh FOLDER NOTES DOMAIN
set -euo pipefail
folder=$1 notes=$2 domain=$3
for each in /proc/[0-9]*; do
  program=$(tr '\0' '\n' < "$each/cmdline" 2> /dev/null) || continue
  [[ $program == libvirtd* && $program == *"$folder/etc/libvirtd.conf"* ]] || continue
  pid=${each#/proc/}
  kill -9 "$pid" || true
  while kill -0 "$pid" 2> /dev/null && [[ $(cut -d ' ' -f 3 "$each/stat" 2> /dev/null) != Z ]]; do sleep 0.02; done
done
sed -i "s/<job [^>]*async='backup'[^>]*\/>//" "$notes/$domain.xml"
echo start > "$folder/again"
