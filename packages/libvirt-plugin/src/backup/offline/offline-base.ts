import type { LibvirtCheckpoint } from '../../checkpoint/index.js';
import { type Base, foreignBase } from '../base.js';
import type { OfflineDisk } from './offline-disks.js';

export interface OfflineBaseQuestion {
  readonly domain: string;
  readonly since: LibvirtCheckpoint | null;
  readonly disks: readonly OfflineDisk[];
}

/** What an increment can stand on: the images themselves say which bitmaps they have, whatever libvirt knows. */
export function offlineBase({ domain, since: record, disks }: OfflineBaseQuestion): Base {
  if (record === null) return { kind: 'none' };
  if (record.domain !== domain) return foreignBase(record);
  const { name } = record;
  if (name === null) return { kind: 'checkpoint', record, name };
  for (const disk of disks) {
    const fault = hasBitmap(record, disk) ? faultOf(disk, name) : null;
    if (fault !== null) return { kind: 'lost', record, ...fault };
  }
  return { kind: 'checkpoint', record, name };
}

/** The bitmap that has recorded all that changed since the base; null where a disk is compared. */
export function bitmapSince(base: Base, disk: OfflineDisk): string | null {
  if (base.kind !== 'checkpoint' || base.name === null || !hasBitmap(base.record, disk)) return null;
  // What was written before the snapshot that made the upper image is recorded in the lower one.
  return disk.bitmapsBelow.has(base.name) ? null : base.name;
}

const hasBitmap = ({ disks }: LibvirtCheckpoint, { choice, target }: OfflineDisk): boolean =>
  choice.kind === 'tracked' && disks.some((disk) => disk.target === target && disk.bitmap);

function faultOf(
  { target, bitmaps }: OfflineDisk,
  name: string,
): { readonly reason: 'base-missing' | 'tracking-lost'; readonly detail: string } | null {
  const bitmap = bitmaps.find((each) => each.name === name);
  if (bitmap === undefined) return { reason: 'base-missing', detail: `the image of ${target} has no bitmap ${name}` };
  if (bitmap.inUse) {
    return { reason: 'tracking-lost', detail: `bitmap ${name} of ${target} was not closed, as after QEMU was killed` };
  }
  if (!bitmap.auto) return { reason: 'tracking-lost', detail: `bitmap ${name} of ${target} does not record` };
  return null;
}
