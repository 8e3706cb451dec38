import { type ErrorCode, VBackupError } from '../../errors/index.js';
import { type Extent, unite } from '../../extent/index.js';
import type { Changes, SnapshotDisk, WithSignal } from '../../hypervisor/index.js';
import type { LevelDecision, Why } from '../decide-level.js';
import type { OnEvent } from '../events.js';
import type { ForgottenOptions } from '../forgotten/find-forgotten.js';
import type { Manifest, ManifestAudit } from '../manifest.js';
import type { Place, Repository } from '../repository.js';

/** What says that a chain is damaged, and not that something else stands in the way of reading it. */
const CHAIN_FAULTS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VB_BACKUP_NOT_FOUND',
  'VB_CHAIN_BROKEN',
  'VB_FILE_MISSING',
  'VB_FILE_SIZE',
  'VB_INDEX_DAMAGED',
  'VB_FRAME_DAMAGED',
  'VB_FRAME_DIGEST',
]);

export interface ExamineOptions extends WithSignal {
  readonly repository: Repository;
  readonly place: Place;
  /** Shares of an audit; undefined for none. */
  readonly auditShares: number | undefined;
  readonly connections: number;
  readonly onEvent?: OnEvent | undefined;
}

/** What looking at the parents of an increment's disks brought out, each by the disk's id. */
export interface Examination {
  /** Why nothing can stand there, at the first disk where that is so. */
  readonly faults: ReadonlyMap<string, Why>;
  readonly audits: ReadonlyMap<string, ManifestAudit>;
  /** What changed though the plugin's record says that it did not, of disks where that happens. */
  readonly forgotten: ReadonlyMap<string, readonly Extent[]>;
}

/**
 * Opens what disks will be compared with, looks for what their records forgot, and audits them, before the level is final: disk
 * after disk, until one is found that makes a full of the whole guest necessary.
 */
export async function examineParents(decision: LevelDecision, options: ExamineOptions): Promise<Examination> {
  const audits = new Map<string, ManifestAudit>();
  const forgotten = new Map<string, readonly Extent[]>();
  const { tip } = options.place;
  for (const { disk, level } of decision.disks) {
    if (tip.kind !== 'backup' || (level !== 'inc' && level !== 'diff')) continue;
    const fault = await faultOf(disk, { ...options, tip: tip.manifest, audits, forgotten });
    if (fault !== null) return { faults: new Map([[disk.id, fault]]), audits: new Map(), forgotten: new Map() };
  }
  return { faults: new Map(), audits, forgotten };
}

interface DiskExamination extends ExamineOptions {
  readonly tip: Manifest;
  readonly audits: Map<string, ManifestAudit>;
  readonly forgotten: Map<string, readonly Extent[]>;
}

async function faultOf(disk: SnapshotDisk, options: DiskExamination): Promise<Why | null> {
  const { repository, place, tip, auditShares: shares, connections, signal } = options;
  const { changes } = disk;
  if (changes.kind === 'all' || (!mustBeRead(changes) && shares === undefined)) return null;
  try {
    await using parent = await repository.openImage(tip, disk.name, { signal });
    const forgotten = await forgottenOf(changes, { disk, parent, connections, signal });
    if (forgotten.length > 0) options.forgotten.set(disk.id, forgotten);
    if (shares === undefined) return null;
    const [{ auditDisk }, { nextShare }] = await Promise.all([import('./audit-disk.js'), import('./next-share.js')]);
    const share = nextShare(place.history, { diskId: disk.id, shares });
    const changed = unite(changes.extents, forgotten);
    const { length, difference } = await auditDisk({ ...options, disk, parent, share, changed });
    if (difference !== null) return missed(disk, tip, difference);
    options.audits.set(disk.id, { ...share, length });
    return null;
  } catch (error) {
    if (!(error instanceof VBackupError) || !CHAIN_FAULTS.has(error.code)) throw error;
    return { reason: 'chain-damaged', detail: error.message };
  }
}

/** What finds it is loaded where there can be anything: a record that never forgets is what most increments have. */
async function forgottenOf(changes: Changes, options: ForgottenOptions): Promise<readonly Extent[]> {
  if (changes.kind === 'all' || changes.forgetful === undefined) return [];
  const { findForgotten } = await import('../forgotten/find-forgotten.js');
  return findForgotten(options);
}

/** Whether an increment needs what the parent holds, or where it holds something. */
const mustBeRead = (changes: Changes): boolean =>
  changes.kind === 'compare' || (changes.kind === 'since' && changes.forgetful !== undefined);

function missed(disk: SnapshotDisk, tip: Manifest, { offset, length }: Extent): Why {
  const method = disk.changes.kind === 'all' ? '' : ` to ${disk.changes.method}`;
  const range = `bytes ${offset} to ${offset + length - 1}`;
  return {
    reason: 'tracking-missed-changes',
    detail: `${range} are unchanged${method}, but differ from backup ${tip.id}`,
  };
}
