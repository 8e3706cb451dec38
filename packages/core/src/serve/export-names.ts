import { VBackupError } from '../errors/index.js';
import type { DiskSource, SourceDisk } from './disk-source.js';
import type { OverlayKey } from './overlay/index.js';

/** A disk and the name of its export. */
export interface NamedDisk {
  readonly name: string;
  readonly disk: SourceDisk;
  /** What keeps its writes goes by this, however the disk is shown: `web.vda`, of what it is a disk of. */
  readonly overlay: OverlayKey;
}

/**
 * Names for the exports of several sources: a disk of the only one has its own, of several that of its source in front,
 * and where two sources have one name, the id of the backup behind: `vda`, `web/vda`, `web/vda@41…`.
 * @throws VBackupError VB_INVALID_ARGUMENT where two disks cannot be told apart
 */
export function exportNames(sources: readonly DiskSource[]): NamedDisk[] {
  const named = sources.flatMap((source) => {
    const twins = sources.filter(({ name }) => name === source.name).length > 1;
    return source.disks.map((disk) => ({
      name: nameOf(source, disk, { alone: sources.length === 1, twins }),
      disk,
      overlay: { identity: source.identity, name: pathOf(source, disk, '.') },
    }));
  });
  const seen = new Set<string>();
  for (const { name } of named) {
    if (seen.has(name)) {
      throw new VBackupError('VB_INVALID_ARGUMENT', `two disks would be the export ${name}`, {
        cure: 'serve one of them on a socket of its own',
      });
    }
    seen.add(name);
  }
  return named;
}

function nameOf(
  source: DiskSource,
  disk: SourceDisk,
  { alone, twins }: { readonly alone: boolean; readonly twins: boolean },
): string {
  if (alone) return disk.name;
  const path = pathOf(source, disk, '/');
  return twins && source.id !== '' ? `${path}@${source.id}` : path;
}

/** An image is its own disk. */
const pathOf = (source: DiskSource, disk: SourceDisk, separator: string): string =>
  source.name === disk.name ? disk.name : `${source.name}${separator}${disk.name}`;
