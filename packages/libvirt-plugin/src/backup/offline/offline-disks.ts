import { isAbsolute } from 'node:path';
import type { DirtyBitmap, Warning, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { DomainDescription, DomainDisk } from '../../domain/index.js';
import type { ChosenDisks, ReadChoice } from '../choose-disks.js';
import type { ImageTools } from './image-tools.js';

/** So many images may stand on each other; libvirt itself stops at 200. */
const MAX_CHAIN_LENGTH = 200;

/** A disk whose image can be read without its domain. */
export interface OfflineDisk {
  readonly choice: ReadChoice;
  readonly target: string;
  readonly path: string;
  readonly format: string;
  /** Bytes per cluster; null where the format has none. */
  readonly clusterSize: number | null;
  readonly bitmaps: readonly DirtyBitmap[];
  /** The names of the bitmaps in the images that this one stands on: what they recorded is not in those above. */
  readonly bitmapsBelow: ReadonlySet<string>;
}

/** Where the image of a disk is on this machine, as any program of QEMU opens it. */
export interface LocalImage {
  readonly target: string;
  readonly path: string;
  readonly format: string;
}

export interface OfflineChoosing extends WithSignal {
  readonly name: string;
  readonly chosen: ChosenDisks;
  /** Whether only one disk is wanted: it cannot be left out. */
  readonly single: boolean;
  readonly tools: ImageTools;
  readonly warn: (warning: Warning) => void;
}

/**
 * What can be read of the chosen disks while the domain is off; the others are left out, with a warning.
 * @throws VBackupError VB_LIBVIRT_DISK, VB_LIBVIRT_NO_DISKS, and what `qemu-img info` throws
 */
export async function offlineDisks(question: OfflineChoosing): Promise<readonly OfflineDisk[]> {
  const { name, chosen, single, tools, warn, signal } = question;
  const disks: OfflineDisk[] = [];
  for (const choice of chosen.disks) {
    const found = await inspect(choice, tools, signal);
    if (typeof found !== 'string') {
      disks.push(found);
      continue;
    }
    const message = `disk ${choice.disk.target} of ${name} is left out while the domain is off: ${found}`;
    if (single) throw new VBackupError('VB_LIBVIRT_DISK', message);
    warn({ code: 'VB_LIBVIRT_DISK', message });
  }
  if (disks.length > 0) return disks;
  throw new VBackupError('VB_LIBVIRT_NO_DISKS', `the domain ${name} has no disk that can be read while it is off`);
}

/** The images of a domain that may hold bitmaps. */
export const bitmapImages = ({ disks }: DomainDescription): readonly LocalImage[] =>
  disks.flatMap((disk) => {
    const image = localImage(disk);
    return image?.format === 'qcow2' && disk.device === 'disk' && !disk.readOnly && !disk.shareable ? [image] : [];
  });

/** Null where the image is not a file or a device of this machine. */
function localImage({ target, image }: DomainDisk): LocalImage | null {
  const { type, source, format } = image;
  return source !== null && (type === 'file' || type === 'block')
    ? { target, path: source, format: format ?? 'raw' }
    : null;
}

/** @returns why the disk cannot be read, where it cannot */
async function inspect(
  choice: ReadChoice,
  tools: ImageTools,
  signal: AbortSignal | undefined,
): Promise<OfflineDisk | string> {
  const { disk } = choice;
  if (disk.disguise !== null) return disk.disguise;
  const local = localImage(disk);
  if (local === null) return `only libvirt can open an image of type ${disk.image.type}`;
  const { bitmaps, encrypted, clusterSize, ...info } = await tools.info(local.path, { format: local.format, signal });
  if (encrypted) return 'its image is encrypted';
  const bitmapsBelow = new Set<string>();
  let below: Pick<typeof info, 'backingPath' | 'backingFormat'> = info;
  for (let depth = 0; below.backingPath !== null; depth += 1) {
    const { backingPath: path, backingFormat: format } = below;
    if (depth === MAX_CHAIN_LENGTH) return `it stands on more than ${MAX_CHAIN_LENGTH} images`;
    if (!isAbsolute(path)) return `it stands on ${path}, which is no file of this machine`;
    // A guest may once have written to that image what QEMU would take for the header of another format.
    if (format === null) return `nothing says of which format ${path} is, on which it stands (qemu-img rebase -u -F)`;
    const image = await tools.info(path, { format, signal });
    for (const bitmap of image.bitmaps) bitmapsBelow.add(bitmap.name);
    below = image;
  }
  return { choice, ...local, clusterSize, bitmaps, bitmapsBelow };
}
