import { VBackupError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import type { FullReason, SnapshotDisk } from '../hypervisor/index.js';
import type { BackupLevel, ManifestDisk, RequestedLevel } from './manifest.js';
import type { Tip } from './repository.js';

/** How one disk is backed up. */
export interface DiskDecision {
  readonly disk: SnapshotDisk;
  readonly level: BackupLevel;
  readonly reason?: FullReason | undefined;
  readonly detail?: string | undefined;
  /** What changed besides what the plugin says, of an increment: ascending and disjoint. */
  readonly forgotten?: readonly Extent[] | undefined;
}

/** How a guest is backed up; `reason` for a full. */
export interface LevelDecision {
  readonly level: BackupLevel;
  readonly reason?: FullReason | undefined;
  readonly detail?: string | undefined;
  readonly disks: readonly DiskDecision[];
}

/** Why a full is made. */
export type Why = { readonly reason: FullReason; readonly detail?: string | undefined };

/** Why nothing can stand on the tip; null if something can. */
export function baseFault(tip: Tip): Why | null {
  if (tip.kind === 'none') return { reason: 'first-backup' };
  if (tip.kind === 'broken') return { reason: 'chain-damaged', detail: tip.detail };
  if (tip.checkpoint !== null) return null;
  return { reason: 'no-change-tracking', detail: `backup ${tip.manifest.id} kept no checkpoint` };
}

export interface LevelState {
  readonly tip: Tip;
  readonly disks: readonly SnapshotDisk[];
  /** By disk id: why nothing can stand on what the tip has of it, though the plugin sees no reason. */
  readonly faults?: ReadonlyMap<string, Why> | undefined;
}

/**
 * An increment if every disk that the chain knows has changes since its tip, or can be compared with it; a disk that is new
 * there gets a full of its own beside them. Otherwise a full of the whole guest.
 * @throws VBackupError VB_CHAIN_BROKEN: `inc` or `diff` was asked for and a full is needed
 */
export function decideLevel(requested: RequestedLevel, state: LevelState): LevelDecision {
  const { tip, disks, faults } = state;
  if (requested === 'copy') return { level: 'copy', disks: disks.map((disk) => ({ disk, level: 'copy' })) };
  if (requested === 'full') return allFull(disks, { reason: 'requested' });
  const fault = baseFault(tip);
  if (fault !== null || tip.kind !== 'backup') {
    const why = fault ?? { reason: 'first-backup' };
    refuse(requested, why);
    return allFull(disks, why);
  }
  const needed = disks.map((disk) => fullNeeded(disk, tip) ?? faults?.get(disk.id) ?? null);
  const forcing = needed.findIndex((why) => why !== null);
  const cause = needed[forcing];
  if (cause !== undefined && cause !== null) {
    refuse(requested, cause, disks[forcing]?.name);
    const others: Why = { reason: 'other-disk' };
    return {
      level: 'full',
      ...cause,
      disks: disks.map((disk, at) => ({ disk, level: 'full', ...(needed[at] ?? others) })),
    };
  }
  const level = requested === 'diff' ? 'diff' : 'inc';
  const known = new Set(tip.manifest.disks.map(({ id }) => id));
  if (!disks.some(({ id }) => known.has(id))) {
    const why: Why = { reason: 'disk-replaced', detail: 'the guest has none of the disks that it had' };
    refuse(requested, why);
    return allFull(disks, why);
  }
  return {
    level,
    disks: disks.map((disk) => (known.has(disk.id) ? { disk, level } : { disk, level: 'full', reason: 'disk-new' })),
  };
}

/** Why a disk makes a new chain necessary; null if it fits into the tip's. */
function fullNeeded(disk: SnapshotDisk, tip: Extract<Tip, { kind: 'backup' }>): Why | null {
  const known = tip.manifest.disks.find(({ id }) => id === disk.id);
  if (known === undefined) return replaced(disk, tip);
  if (known.name !== disk.name) return { reason: 'disk-replaced', detail: `${known.name} is called ${disk.name} now` };
  if (disk.size < known.size) return { reason: 'disk-shrunk', detail: `from ${known.size} to ${disk.size} bytes` };
  if (disk.changes.kind !== 'all') return null;
  return { reason: disk.changes.reason ?? 'base-missing', detail: disk.changes.detail };
}

function replaced(disk: SnapshotDisk, tip: Extract<Tip, { kind: 'backup' }>): Why | null {
  const shares = tip.diskNames.includes(disk.name);
  return shares ? { reason: 'disk-replaced', detail: `another disk was ${disk.name} before` } : null;
}

const allFull = (disks: readonly SnapshotDisk[], why: Why): LevelDecision => ({
  level: 'full',
  ...why,
  disks: disks.map((disk) => ({ disk, level: 'full', ...why, detail: why.detail ?? detailOf(disk) })),
});

/** What the plugin had to say, though it was not what decided. */
const detailOf = (disk: SnapshotDisk): string | undefined =>
  disk.changes.kind === 'all' ? disk.changes.detail : undefined;

function refuse(requested: RequestedLevel, why: Why, disk?: string): void {
  if (requested === 'auto') return;
  const subject = disk === undefined ? '' : `disk ${disk}: `;
  const detail = why.detail === undefined ? '' : ` (${why.detail})`;
  throw new VBackupError('VB_CHAIN_BROKEN', `level ${requested} is impossible: ${subject}${why.reason}${detail}`, {
    cure: 'make a full backup, or use level auto',
  });
}

/** As the manifest has it. */
export const methodOf = ({ disk, level }: DiskDecision): ManifestDisk['method'] =>
  level !== 'full' && level !== 'copy' && disk.changes.kind !== 'all' ? disk.changes.method : 'all';
