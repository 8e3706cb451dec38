import type {
  Checkpoint,
  ConfigurationFile,
  Guest,
  NbdConnectOptions,
  OpenDiskOptions,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
  WithSignal,
} from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import {
  checkpointName,
  checkpointRecord,
  makeUlid,
  parseCheckpointRecord,
  parseCheckpointXml,
} from '../checkpoint/index.js';
import type { LibvirtConnection } from '../connection/index.js';
import { parseDomain } from '../domain/index.js';
import { dirtyContext } from '../job/index.js';
import { findBase, sinceOf } from './base.js';
import { type BegunJob, beginJob } from './begin-job.js';
import { type ChosenDisks, chooseDisks, clusterLengthOf, type ReadChoice } from './choose-disks.js';
import { configurationOf } from './configuration.js';
import type { JobExport, LibvirtContext } from './context.js';
import { ExplainedReader } from './explained-reader.js';
import { parseGuestId } from './guest-id.js';
import { type JobAccess, jobAccess, requireWay } from './job-access.js';
import { isOfChain } from './job-files.js';
import type { JobEntry } from './journal.js';
import { lookAtImages } from './look-at-images.js';
import { takeOffline } from './offline/take-offline.js';
import { readChanges } from './read-changes.js';
import { finishJob, undoJob } from './release.js';
import { withRepair } from './repair-daemon.js';
import { clearWay } from './running-job.js';
import type { SnapshotPlan } from './snapshot-plan.js';
import { remoteUri, requireLocal } from './uri.js';
import { explain, JobWatch } from './watch.js';

/** Cleaning up has a time of its own, for the user's signal may have been raised; what is left waits for `recover`. */
const CLEANUP_TIMEOUT_MS = 30_000;

/** A domain's disks at one instant: looks first at what can be looked at, then makes the checkpoint, then asks what changed. */
export async function takeSnapshot(
  context: LibvirtContext,
  guest: Guest,
  request: SnapshotRequest,
  options: WithSignal = {},
): Promise<Snapshot> {
  const { domain } = parseGuestId(guest.id);
  const take = async (): Promise<Snapshot> => {
    const plan = await planSnapshot(context, guest, request, options);
    if (plan.facts.active) return takeOnline(context, plan, options);
    requireLocal(plan.remote, plan.facts.name);
    return takeOffline(context, plan, options);
  };
  return withRepair(context, domain, take, options);
}

async function planSnapshot(
  context: LibvirtContext,
  guest: Guest,
  request: SnapshotRequest,
  { signal }: WithSignal,
): Promise<SnapshotPlan> {
  const place = parseGuestId(guest.id);
  const { domain } = place;
  const { repositoryId, since } = request;
  const record = since === null ? null : parseCheckpointRecord(since);
  const libvirt = await context.link.get();
  const remote = await remoteUri(libvirt, context.options.uri, { signal });
  // Before anything is done: how its disks could be read.
  if (remote !== null) requireWay(context.options.nbd, remote);
  const facts = await libvirt.findDomain({ uuid: domain }, { signal });
  const description = parseDomain(await libvirt.domainXml(domain, { signal }));
  const { exclude: excluded } = context.options;
  const wanted = chooseDisks(description, { only: place.disk, excluded, warn: context.warn });
  const chosen = remote === null ? await lookAtImages(wanted) : wanted;
  const owner = { repositoryId, guestId: guest.id };
  return { libvirt, remote, facts, place, description, chosen, record, owner, request };
}

async function takeOnline(context: LibvirtContext, plan: SnapshotPlan, options: WithSignal): Promise<Snapshot> {
  const { libvirt, place, description, chosen, record, owner, request } = plan;
  const { signal } = options;
  const { domain } = place;
  const { repositoryId, journal } = request;
  await clearWay(libvirt, { domain, isDead: (job) => isOfChain(job, repositoryId, place) }, options);
  const base = await findBase(libvirt, { domain, since: record, owner, journal, signal });
  const name = checkpointName(repositoryId, makeUlid());
  const access = await jobAccess(context.options, { name, place, remote: plan.remote });
  // What fails from here on is undone by `recover`, from the journal.
  const job = await beginJob(context, { place, chosen, base, owner, name, request, access, signal });
  const watch = new JobWatch(context, job.entry);
  try {
    const disks = await disksOf(context, { chosen, job, watch, access }, options);
    const checkpoint = request.keepCheckpoint ? await checkpointOf(libvirt, { chosen, job, disks }, options) : null;
    const { remote } = plan;
    const asked = { domain, description, disks: chosen.disks, checkpoint: job.entry.checkpoint, remote, signal };
    const configuration = await configurationOf(context, libvirt, asked);
    return new LibvirtSnapshot(context, { job, watch, disks, checkpoint, configuration });
  } catch (error) {
    const reason = await explain(error, watch, options);
    await watch[Symbol.asyncDispose]();
    throw reason;
  }
}

interface Begun {
  readonly chosen: ChosenDisks;
  readonly job: BegunJob;
  readonly watch: JobWatch;
  readonly access: JobAccess;
}

async function disksOf(
  context: LibvirtContext,
  { chosen, job, watch, access }: Begun,
  options: WithSignal,
): Promise<readonly SnapshotDisk[]> {
  const disks: SnapshotDisk[] = [];
  for (const choice of chosen.disks) {
    const { disk } = choice;
    const since = sinceOf(job.base, choice);
    const dirty = since === null ? null : dirtyContext(disk.target);
    const contexts = dirty === null ? [] : [dirty];
    await using source = await context.openExport(connectOptions(access, disk.target, contexts, options));
    const asked = { target: disk.target, context: dirty, base: job.base, clusterLength: clusterLengthOf(choice) };
    const changes = await readChanges(source, asked, options);
    const told = (error: unknown, use?: WithSignal): Promise<unknown> => explain(error, watch, use);
    const open = async (use: OpenDiskOptions): Promise<ExplainedReader> =>
      new ExplainedReader(await openReader(context, { access, watch, target: disk.target }, use), told);
    disks.push({
      name: disk.target,
      id: disk.target,
      label: disk.image.source ?? '',
      size: source.size,
      changes,
      open,
    });
  }
  return disks;
}

async function openReader(
  context: LibvirtContext,
  { access, watch, target }: { readonly access: JobAccess; readonly watch: JobWatch; readonly target: string },
  use: OpenDiskOptions,
): Promise<JobExport> {
  try {
    return await context.openExport({ ...connectOptions(access, target, [], use), connections: use.connections });
  } catch (error) {
    throw await explain(error, watch, use);
  }
}

const connectOptions = (
  { address, tls }: JobAccess,
  exportName: string,
  contexts: readonly string[],
  { signal }: WithSignal,
): NbdConnectOptions => ({
  address,
  tls,
  exportName,
  metaContexts: ['base:allocation', ...contexts],
  signal,
});

interface Kept {
  readonly chosen: ChosenDisks;
  readonly job: BegunJob;
  readonly disks: readonly SnapshotDisk[];
}

async function checkpointOf(
  libvirt: LibvirtConnection,
  { chosen, job, disks }: Kept,
  { signal }: WithSignal,
): Promise<Checkpoint> {
  const { domain, checkpoint: name } = job.entry;
  const options = { signal, withoutDomain: true };
  const told = name === null ? null : parseCheckpointXml(await libvirt.checkpointXml(domain, name, options));
  const tracked = new Set(
    chosen.disks.filter(({ kind }) => kind === 'tracked').map(({ disk }: ReadChoice) => disk.target),
  );
  return checkpointRecord({
    version: 1,
    domain,
    name,
    creationTime: told?.creationTime ?? Math.floor(job.time.getTime() / 1000),
    disks: disks.map(({ name: target, size }) => ({ target, size, bitmap: name !== null && tracked.has(target) })),
  });
}

interface SnapshotParts {
  readonly job: BegunJob;
  readonly watch: JobWatch;
  readonly disks: readonly SnapshotDisk[];
  readonly checkpoint: Checkpoint | null;
  readonly configuration: readonly ConfigurationFile[];
}

class LibvirtSnapshot implements Snapshot {
  readonly time: Date;
  readonly checkpoint: Checkpoint | null;
  readonly disks: readonly SnapshotDisk[];
  readonly configuration: readonly ConfigurationFile[];
  readonly #context: LibvirtContext;
  readonly #job: JobEntry;
  readonly #watch: JobWatch;
  #open = true;

  constructor(context: LibvirtContext, { job, watch, disks, checkpoint, configuration }: SnapshotParts) {
    this.#context = context;
    this.#job = job.entry;
    this.#watch = watch;
    this.time = job.time;
    this.disks = disks;
    this.checkpoint = checkpoint;
    this.configuration = configuration;
  }

  /** @throws VBackupError VB_LIBVIRT_JOB_LOST, VB_LIBVIRT_SCRATCH_FULL, VB_LIBVIRT_DOMAIN_STOPPED */
  async confirm(options: WithSignal = {}): Promise<void> {
    const fault = await this.#watch.look(options);
    if (fault !== null) throw fault;
  }

  async commit(options: WithSignal = {}): Promise<void> {
    // From here on the checkpoint must not be deleted: the backup stands on it.
    this.#open = false;
    await this.#watch[Symbol.asyncDispose]();
    await finishJob(await this.#context.link.get(), this.#job, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#watch[Symbol.asyncDispose]();
    try {
      const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
      await undoJob(await this.#context.link.get(), this.#job, { signal });
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new VBackupError('VB_LIBVIRT_CLEANUP', `the backup job or its checkpoint is still there: ${why}`, {
        cause,
        cure: 'vbackup removes it in its next run of this domain',
      });
    }
  }
}
