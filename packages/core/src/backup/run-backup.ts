import { VBackupError } from '../errors/index.js';
import { withAbortCode } from '../errors/with-abort-code.js';
import type { Checkpoint, Guest, Journal, JsonObject, Snapshot, Warning } from '../hypervisor/index.js';
import { atOnce } from '../pace/at-once.js';
import { type Examination, examineParents } from './audit/examine-parents.js';
import { backUpDisk, type DiskRecord } from './back-up-disk.js';
import { checkSnapshot } from './check-snapshot.js';
import { baseFault, decideLevel, type LevelDecision } from './decide-level.js';
import type { BackupJob, BackupSummary } from './jobs.js';
import type { Manifest, ManifestAudit } from './manifest.js';
import type { BackupDraft, Place } from './repository.js';
import { sharedWorkers } from './workers/worker-pool.js';

const DEFAULT_CONNECTIONS = 2;
const DEFAULT_CONCURRENCY = 1;
/** What is done on the hypervisor after the backup stands, or to undo it, is not stopped with the run. */
const CLEANUP_TIMEOUT_MS = 300_000;
/** The user who stopped the run waits for it; what is left is done by the next run. */
const STOPPED_CLEANUP_TIMEOUT_MS = 10_000;

type Audits = ReadonlyMap<string, ManifestAudit>;
type Forgotten = Examination['forgotten'];

/**
 * Backs one guest up, in the order of docs/architecture.md. What fails before the commit point leaves the previous backup
 * and its base as they were; what fails after it is a warning, and finished by the next run.
 * @throws VBackupError VB_CHAIN_BROKEN, VB_REPOSITORY_LOCKED, VB_SNAPSHOT_INVALID, and what the plugin throws
 */
export function runBackup(job: BackupJob): Promise<BackupSummary> {
  return withAbortCode(job.signal, () => backUp(job));
}

async function backUp(job: BackupJob): Promise<BackupSummary> {
  const started = performance.now();
  job.signal?.throwIfAborted();
  const guest = await job.hypervisor.find(job.selector, { signal: job.signal });
  await using _workers = sharedWorkers.lease({ work: 0 });
  const key = { hypervisor: job.hypervisorName, guestId: guest.id };
  await using place = await job.repository.openPlace(key, { signal: job.signal });
  const run = new BackupRun(job, { guest, place });
  const manifest = await run.perform();
  return { manifest, elapsedMs: performance.now() - started, warnings: run.warnings };
}

class BackupRun {
  readonly warnings: Warning[] = [];
  readonly #job: BackupJob;
  readonly #guest: Guest;
  readonly #place: Place;

  constructor(job: BackupJob, parts: { readonly guest: Guest; readonly place: Place }) {
    this.#job = job;
    this.#guest = parts.guest;
    this.#place = parts.place;
  }

  async perform(): Promise<Manifest> {
    const { leftover } = this.#place;
    if (leftover !== null) {
      await this.#job.hypervisor.recover(leftover, { signal: this.#job.signal });
      await this.#place.settle();
    }
    const since = this.#since();
    const compression = this.#job.compression ?? 'lz4';
    const draft = await this.#place.begin({ guest: this.#guest, compression });
    try {
      return await this.#backUp(draft, since);
    } finally {
      await this.#quietly('VB_CLEANUP_INCOMPLETE', () => draft[Symbol.asyncDispose]());
    }
  }

  /** The checkpoint that changes are asked for since; null for a full. */
  #since(): Checkpoint | null {
    const level = this.#job.level ?? 'auto';
    const { tip } = this.#place;
    if (level === 'full' || level === 'copy') return null;
    const fault = baseFault(tip);
    // Refused here, before anything is done on the hypervisor.
    if (fault !== null) decideLevel(level, { tip, disks: [] });
    if (tip.kind === 'broken') this.#warn({ code: 'VB_CHAIN_ABANDONED', message: `a new chain begins: ${tip.detail}` });
    return fault === null && tip.kind === 'backup' ? tip.checkpoint : null;
  }

  async #backUp(draft: BackupDraft, since: Checkpoint | null): Promise<Manifest> {
    const { id } = draft;
    this.#job.onEvent?.({ type: 'start', work: 'backup', id, guest: this.#guest.name });
    const snapshot = await this.#snapshot(draft, since);
    let manifest: Manifest | null = null;
    let clean = true;
    try {
      manifest = await this.#write(draft, snapshot);
      clean = await this.#quietly('VB_COMMIT_INCOMPLETE', () => snapshot.commit({ signal: cleanupSignal() }));
      return manifest;
    } finally {
      const released = await this.#quietly('VB_CLEANUP_INCOMPLETE', () => snapshot[Symbol.asyncDispose]());
      if (clean && released) await this.#quietly('VB_CLEANUP_INCOMPLETE', () => draft.close());
    }
  }

  async #snapshot(draft: BackupDraft, since: Checkpoint | null): Promise<Snapshot> {
    const { hypervisor, repository, level, signal } = this.#job;
    const entries: JsonObject[] = [];
    const journal: Journal = {
      record: async (entry) => {
        entries.push(entry);
        await draft.journal.record(entry);
      },
    };
    const keepCheckpoint = level !== 'diff' && level !== 'copy';
    const request = { backupId: draft.id, repositoryId: repository.id, since, keepCheckpoint, journal };
    try {
      signal?.throwIfAborted();
      return await hypervisor.snapshot(this.#guest, request, { signal });
    } catch (error) {
      const leftover = { backupId: draft.id, entries, committed: false };
      const undone =
        entries.length === 0 ||
        (await this.#quietly('VB_CLEANUP_INCOMPLETE', () =>
          hypervisor.recover(leftover, { signal: undoSignal(signal) }),
        ));
      if (undone) await this.#quietly('VB_CLEANUP_INCOMPLETE', () => draft.close());
      throw error;
    }
  }

  /** Everything up to and with the commit point. */
  async #write(draft: BackupDraft, snapshot: Snapshot): Promise<Manifest> {
    checkSnapshot(snapshot);
    const { decision, audits } = await this.#decide(snapshot);
    const { time, disks: frozen, configuration } = snapshot;
    await draft.choose({ level: decision.level, time, disks: frozen, configuration });
    const { tip } = this.#place;
    const warn = (warning: Warning, disk: string): void => this.#warn(warning, disk);
    const count = Math.min(decision.disks.length, this.#job.concurrency ?? DEFAULT_CONCURRENCY);
    const parts = { draft, tip, connections: this.#connections, disksAtOnce: count, warn };
    const disks = await atOnce(
      decision.disks,
      { count, signal: this.#job.signal },
      async (disk, { signal }): Promise<DiskRecord> => {
        const record = await backUpDisk(disk, { ...parts, job: { ...this.#job, signal } });
        return { ...record, audit: audits.get(disk.disk.id) };
      },
    );
    await snapshot.confirm?.({ signal: this.#job.signal });
    this.#job.signal?.throwIfAborted();
    return draft.commit({
      checkpoint: standsOn(decision) ? snapshot.checkpoint : null,
      reason: decision.reason,
      configuration: snapshot.configuration,
      disks,
    });
  }

  /** What an increment would stand on is looked at before anything is written: one chain belongs to one guest. */
  async #decide({ disks }: Snapshot): Promise<{ readonly decision: LevelDecision; readonly audits: Audits }> {
    const { repository, auditShares, onEvent, signal, level = 'auto' } = this.#job;
    const place = this.#place;
    const decision = decideLevel(level, { tip: place.tip, disks });
    const connections = this.#connections;
    const examined = { repository, place, auditShares, connections, onEvent, signal };
    const { faults, audits, forgotten } = await examineParents(decision, examined);
    if (faults.size === 0) return { decision: withForgotten(decision, forgotten), audits };
    const full = decideLevel(level, { tip: place.tip, disks, faults });
    for (const { disk, reason, detail } of full.disks) {
      if (!faults.has(disk.id)) continue;
      const code = reason === 'tracking-missed-changes' ? 'VB_TRACKING_MISSED_CHANGES' : 'VB_CHAIN_ABANDONED';
      this.#warn({ code, message: `a new chain begins: ${detail ?? reason}` }, disk.name);
    }
    return { decision: full, audits };
  }

  get #connections(): number {
    return this.#job.connections ?? DEFAULT_CONNECTIONS;
  }

  /** Work that must not hide what happened before. @returns whether it was done */
  async #quietly(
    code: 'VB_CLEANUP_INCOMPLETE' | 'VB_COMMIT_INCOMPLETE',
    work: () => PromiseLike<void>,
  ): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (error) {
      this.#warn({ code, message: `left for the next run to finish: ${detailOf(error)}` });
      return false;
    }
  }

  #warn(warning: Warning, disk?: string): void {
    this.warnings.push(warning);
    this.#job.onEvent?.({ type: 'warning', disk, ...warning });
  }
}

const withForgotten = (decision: LevelDecision, forgotten: Forgotten): LevelDecision => ({
  ...decision,
  disks: decision.disks.map((each) => ({ ...each, forgotten: forgotten.get(each.disk.id) })),
});

/** Whether a later increment can stand on this backup. */
const standsOn = ({ level }: LevelDecision): boolean => level === 'full' || level === 'inc';

function detailOf(error: unknown): string {
  if (error instanceof VBackupError) return `${error.code}: ${error.message}`;
  return error instanceof DOMException && error.name === 'TimeoutError' ? 'it took too long' : String(error);
}

const cleanupSignal = (): AbortSignal => AbortSignal.timeout(CLEANUP_TIMEOUT_MS);

const undoSignal = (stop: AbortSignal | undefined): AbortSignal =>
  AbortSignal.timeout(stop?.aborted === true ? STOPPED_CLEANUP_TIMEOUT_MS : CLEANUP_TIMEOUT_MS);
