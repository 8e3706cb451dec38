import { basename } from 'node:path';
import type { FrameCache } from '../backup/image/frame-cache.js';
import type { Manifest, ManifestDisk } from '../backup/manifest.js';
import type { Repository } from '../backup/repository.js';
import type { WithSignal } from '../hypervisor/index.js';
import { type OtherBackup, OtherBackups } from './changed-since.js';
import type { DiskSource, SourceDisk } from './disk-source.js';
import { ImageDisk } from './image-disk.js';
import type { ServedDisk } from './served-disk.js';

/** The newest of so many other backups can be compared with; each is a context that clients may list. */
const OTHERS_LIMIT = 1_000;

export interface BackupSourceOptions {
  readonly repository: Repository;
  /** Every backup of the repository, the oldest first. */
  readonly backups: readonly Manifest[];
  readonly manifest: Manifest;
  readonly cache: FrameCache;
}

/** The disks of a backup. What changed since each other backup of them can be asked for. */
export function backupSource(options: BackupSourceOptions): DiskSource {
  const { manifest } = options;
  return {
    name: guestName(manifest),
    id: manifest.id,
    identity: `backup ${manifest.id}`,
    disks: manifest.disks.map((disk) => sourceDisk(disk, options)),
    [Symbol.asyncDispose]: async () => {},
  };
}

/** A disk without a machine may go by its path. */
function guestName({ guest }: Manifest): string {
  const name = guest.name === '' ? guest.id : guest.name;
  return guest.kind === 'disk' ? basename(name) : name;
}

function sourceDisk(disk: ManifestDisk, options: BackupSourceOptions): SourceDisk {
  const { id, time } = options.manifest;
  const label = disk.label === '' || disk.label === disk.name ? disk.name : `${disk.name} (${disk.label})`;
  const description = `${guestName(options.manifest)}, ${label}, backup ${id} of ${time}`;
  return {
    name: disk.name,
    description,
    open: (name, opening) => openDisk({ name, description, disk }, options, opening),
  };
}

async function openDisk(
  { name, description, disk }: { readonly name: string; readonly description: string; readonly disk: ManifestDisk },
  { repository, backups, manifest, cache }: BackupSourceOptions,
  { signal }: WithSignal = {},
): Promise<ServedDisk> {
  const image = await repository.openImage(manifest, disk.name, { signal, cache });
  const others = othersOf(manifest, disk, backups)
    .slice(0, OTHERS_LIMIT)
    .map(({ manifest: other, name: otherName }): OtherBackup => {
      const { id } = other;
      return { id, open: () => repository.openImage(other, otherName, { cache }) };
    });
  const compared = new OtherBackups(image, others);
  return new ImageDisk({ name, description, image, changedSince: compared.changedSince, also: [compared] });
}

/** The other backups of the same disk, the newest first: its name may be another one there. */
function othersOf(
  manifest: Manifest,
  { id }: ManifestDisk,
  backups: readonly Manifest[],
): { readonly manifest: Manifest; readonly name: string }[] {
  return backups
    .filter(
      (other) =>
        other.id !== manifest.id && other.hypervisor === manifest.hypervisor && other.guest.id === manifest.guest.id,
    )
    .flatMap((other) => other.disks.filter((disk) => disk.id === id).map(({ name }) => ({ manifest: other, name })))
    .toReversed();
}
