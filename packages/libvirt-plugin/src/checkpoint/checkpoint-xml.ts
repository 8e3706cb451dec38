import { attributeOf, buildXml, childOf, childrenOf, parseXml, textOf, type XmlElement } from '../xml/index.js';
import type { LibvirtCheckpoint } from './checkpoint-record.js';

/** Whose checkpoint it is; the name alone cannot tell a domain's chain from that of one of its disks. */
export interface CheckpointOwner {
  readonly repositoryId: string;
  readonly guestId: string;
}

export interface NewCheckpoint {
  readonly name: string;
  readonly owner: CheckpointOwner;
  /** Target names of disks that get a dirty bitmap. */
  readonly tracked: readonly string[];
  /** Every other disk of the domain: libvirt refuses a checkpoint that would include a raw one. */
  readonly untracked: readonly string[];
}

/** `<domaincheckpoint>` for a new checkpoint (formatcheckpoint.html). */
export function newCheckpointXml({ name, owner, tracked, untracked }: NewCheckpoint): string {
  const disks = [
    ...tracked.map((target) => diskElement({ name: target, checkpoint: 'bitmap' })),
    ...untracked.map((target) => diskElement({ name: target, checkpoint: 'no' })),
  ];
  return buildXml({
    name: 'domaincheckpoint',
    children: [...identity(name, owner), { name: 'disks', children: disks }],
  });
}

/**
 * `<domaincheckpoint>` that tells libvirt again of a checkpoint whose bitmaps are still in the images: after a migration, or
 * when a transient domain was started anew. Null if it has no bitmaps.
 */
export function redefinitionXml(checkpoint: LibvirtCheckpoint, owner: CheckpointOwner): string | null {
  const { name, creationTime, disks } = checkpoint;
  const tracked = disks.filter(({ bitmap }) => bitmap);
  if (name === null || tracked.length === 0) return null;
  const children = tracked.map(({ target }) => diskElement({ name: target, checkpoint: 'bitmap', bitmap: name }));
  return buildXml({
    name: 'domaincheckpoint',
    children: [
      ...identity(name, owner),
      { name: 'creationTime', text: String(creationTime) },
      { name: 'disks', children },
    ],
  });
}

/** The same checkpoint with one of its disks alone, for a redefinition; null if that disk has no bitmap in it. */
export function partOf(
  { name, description, creationTime, disks }: CheckpointDescription,
  target: string,
): string | null {
  const disk = disks.find((each) => each.target === target);
  if (disk === undefined || disk.bitmap === null) return null;
  const { bitmap } = disk;
  return buildXml({
    name: 'domaincheckpoint',
    children: [
      { name: 'name', text: name },
      ...(description === null ? [] : [{ name: 'description', text: description }]),
      { name: 'creationTime', text: String(creationTime ?? 0) },
      { name: 'disks', children: [diskElement({ name: target, checkpoint: 'bitmap', bitmap })] },
    ],
  });
}

function identity(name: string, owner: CheckpointOwner): readonly XmlElement[] {
  return [
    { name: 'name', text: name },
    { name: 'description', text: descriptionOf(owner) },
  ];
}

const diskElement = (attributes: Readonly<Record<string, string>>): XmlElement => ({ name: 'disk', attributes });

/** What stands in the description of our checkpoints. */
export const descriptionOf = ({ repositoryId, guestId }: CheckpointOwner): string =>
  `vbackup repository ${repositoryId} guest ${guestId}`;

/** A checkpoint as libvirt describes it. */
export interface CheckpointDescription {
  readonly name: string;
  readonly description: string | null;
  readonly parent: string | null;
  /** Seconds since 1970; null if libvirt does not say. */
  readonly creationTime: number | null;
  readonly disks: readonly CheckpointDiskDescription[];
}

export interface CheckpointDiskDescription {
  readonly target: string;
  /** The name of its dirty bitmap; null for a disk that has none. */
  readonly bitmap: string | null;
  /** Bytes written since, where it was asked for and the domain runs. */
  readonly size: number | null;
}

/** @throws VBackupError VB_LIBVIRT_XML */
export function parseCheckpointXml(text: string): CheckpointDescription {
  const root = parseXml(text, 'domaincheckpoint');
  return {
    name: textOf(childOf(root, 'name')) ?? '',
    description: textOf(childOf(root, 'description')),
    parent: textOf(childOf(root, 'parent', 'name')),
    creationTime: countOf(textOf(childOf(root, 'creationTime'))),
    disks: childrenOf(childOf(root, 'disks'), 'disk').map((disk) => ({
      target: attributeOf(disk, 'name') ?? '',
      bitmap: attributeOf(disk, 'checkpoint') === 'bitmap' ? attributeOf(disk, 'bitmap') : null,
      size: countOf(attributeOf(disk, 'size')),
    })),
  };
}

function countOf(text: string | null): number | null {
  const count = text === null ? Number.NaN : Number(text);
  return Number.isSafeInteger(count) && count >= 0 ? count : null;
}
