import type { MachineDisk } from '@vbackup/core';
import type { Element } from '@xmldom/xmldom';
import { appendElement, attributeOf, childOf, removeChildren } from '../xml/index.js';

/** Where the disk lay before, and how libvirt opened it there: nothing of it is true of the restored image. */
const OF_THE_OLD_IMAGE = ['source', 'backingStore', 'mirror', 'auth', 'encryption', 'transient'] as const;

/**
 * Makes a `<disk>` one whose image is a restored file (formatdomain.html, "Hard drives").
 * @returns what the user should know
 */
export function giveImage(disk: Element, { name, path, format }: MachineDisk): readonly string[] {
  const wasEncrypted = (childOf(disk, 'encryption') ?? childOf(disk, 'source', 'encryption')) !== undefined;
  removeChildren(disk, ...OF_THE_OLD_IMAGE);
  disk.setAttribute('type', 'file');
  const driver = childOf(disk, 'driver') ?? appendElement(disk, 'driver', { name: 'qemu' });
  driver.setAttribute('type', format);
  if (format === 'raw') {
    // Only a qcow2 has them; libvirt refuses them elsewhere.
    driver.removeAttribute('discard_no_unref');
    removeChildren(driver, 'metadata_cache');
  }
  appendElement(disk, 'source', { file: path });
  return wasEncrypted ? [`disk ${name} was encrypted, and its restored image is not`] : [];
}

export interface LeftDisk {
  /** Another domain than the one that was backed up. */
  readonly isCopy: boolean;
  /** The drive's medium is not there. */
  readonly isGone: boolean;
}

/**
 * What becomes of a `<disk>` that is not restored. A copy must not write to a disk of the domain that it is a copy of.
 * @returns what the user should know
 */
export function leaveDisk(disk: Element, { isCopy, isGone }: LeftDisk): readonly string[] {
  const target = attributeOf(childOf(disk, 'target'), 'dev') ?? '';
  const device = attributeOf(disk, 'device') ?? 'disk';
  if (device === 'cdrom' || device === 'floppy') {
    if (isGone) removeChildren(disk, 'source', 'backingStore');
    return isGone ? [`the medium of ${target} is not there: the ${device} is empty`] : [];
  }
  const isSafe = (childOf(disk, 'shareable') ?? childOf(disk, 'readonly')) !== undefined;
  if (isCopy && !isSafe) {
    disk.parentNode?.removeChild(disk);
    return [`disk ${target} is not restored, and not part of the new domain`];
  }
  return [`disk ${target} is not restored: the domain gets the one that it had`];
}
