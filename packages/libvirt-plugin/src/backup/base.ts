import type { Changes, FullReason, Journal, WithSignal } from '@vbackup/core';
import { type CheckpointOwner, type LibvirtCheckpoint, redefinitionXml } from '../checkpoint/index.js';
import { isLibvirtError, type LibvirtConnection } from '../connection/index.js';
import type { ReadChoice } from './choose-disks.js';

/** What an increment can stand on. */
export type Base =
  | { readonly kind: 'none' }
  /** A checkpoint that libvirt knows; the name is null if no disk had a bitmap. */
  | { readonly kind: 'checkpoint'; readonly record: LibvirtCheckpoint; readonly name: string | null }
  | { readonly kind: 'lost'; readonly record: LibvirtCheckpoint; readonly reason: FullReason; readonly detail: string };

export interface BaseQuestion extends WithSignal {
  readonly domain: string;
  readonly since: LibvirtCheckpoint | null;
  readonly owner: CheckpointOwner;
  readonly journal: Journal;
}

/**
 * Finds the checkpoint of the last backup. libvirt forgets those of a transient domain that stopped, and of one that moved to
 * another host, though the bitmaps are in the images: it is told of them again.
 */
export async function findBase(libvirt: LibvirtConnection, question: BaseQuestion): Promise<Base> {
  const { domain, since: record, owner, journal, signal } = question;
  if (record === null) return { kind: 'none' };
  if (record.domain !== domain) return foreignBase(record);
  const { name } = record;
  if (name === null) return { kind: 'checkpoint', record, name };
  const known = await libvirt.listCheckpoints(domain, { signal });
  if (known.some((checkpoint) => checkpoint.name === name)) return { kind: 'checkpoint', record, name };
  const xml = redefinitionXml(record, owner);
  if (xml === null) return { kind: 'checkpoint', record, name: null };
  await journal.record({ step: 'redefine-checkpoint', domain, checkpoint: name });
  try {
    await libvirt.createCheckpoint(domain, xml, { redefine: true, validate: true, signal });
    return { kind: 'checkpoint', record, name };
  } catch (error) {
    if (!isLibvirtError(error, 'VB_LIBVIRT_CHECKPOINT_INCONSISTENT', 'VB_LIBVIRT_FAILED', 'VB_LIBVIRT_UNSUPPORTED')) {
      throw error;
    }
    return {
      kind: 'lost',
      record,
      reason: 'base-missing',
      detail: `checkpoint ${name} is gone: ${error.libvirtMessage}`,
    };
  }
}

/** The last backup was made of another domain. */
export const foreignBase = (record: LibvirtCheckpoint): Base => ({
  kind: 'lost',
  record,
  reason: 'base-foreign',
  detail: `the last backup was one of domain ${record.domain}`,
});

/** Whether a disk's changes since the base are asked for: its bitmap has recorded them. */
export function sinceOf(base: Base, { kind, disk }: ReadChoice): string | null {
  if (base.kind !== 'checkpoint' || kind !== 'tracked') return null;
  const entry = base.record.disks.find(({ target }) => target === disk.target);
  return entry?.bitmap === true ? base.name : null;
}

/**
 * What is known of a disk that is not asked for its dirty blocks. One that never had a bitmap is compared with its last
 * backup, so that it makes no full of the others necessary.
 */
export function changesWithoutBitmap(base: Base, disk: { readonly target: string; readonly size: number }): Changes {
  if (base.kind === 'none') return { kind: 'all' };
  const entry = base.record.disks.find(({ target }) => target === disk.target);
  if (entry === undefined) return { kind: 'all', reason: 'disk-new', detail: 'the last backup did not hold this disk' };
  if (disk.size < entry.size) return shrunk(entry.size, disk.size);
  if (base.kind === 'lost' && entry.bitmap) return { kind: 'all', reason: base.reason, detail: base.detail };
  if (base.kind === 'lost' && base.reason === 'base-foreign')
    return { kind: 'all', reason: base.reason, detail: base.detail };
  return { kind: 'compare', extents: [{ offset: 0, length: disk.size }], method: 'compare' };
}

export const shrunk = (before: number, now: number): Changes => ({
  kind: 'all',
  reason: 'disk-shrunk',
  detail: `the disk had ${before} bytes and has ${now}`,
});
