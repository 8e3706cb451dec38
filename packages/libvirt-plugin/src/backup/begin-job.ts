import { join } from 'node:path';
import type { SnapshotRequest, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { type CheckpointOwner, newCheckpointXml } from '../checkpoint/index.js';
import { isLibvirtError, LibvirtError } from '../connection/index.js';
import { jobXml } from '../job/index.js';
import { type Base, sinceOf } from './base.js';
import type { ChosenDisks } from './choose-disks.js';
import type { LibvirtContext } from './context.js';
import { dropCheckpoint } from './drop-checkpoint.js';
import type { GuestPlace } from './guest-id.js';
import type { JobAccess } from './job-access.js';
import { scratchName } from './job-files.js';
import type { JobEntry } from './journal.js';
import { whileQuiet } from './quiet.js';

export interface JobRequest extends WithSignal {
  readonly place: GuestPlace;
  readonly chosen: ChosenDisks;
  readonly base: Base;
  readonly owner: CheckpointOwner;
  /** Names the checkpoint, the socket and the scratch files. */
  readonly name: string;
  readonly request: SnapshotRequest;
  readonly access: JobAccess;
}

export interface BegunJob {
  readonly entry: JobEntry;
  /** What the exports tell changes since; less than was asked for where the checkpoint turned out to be broken. */
  readonly base: Base;
  /** Our clock, just before the disks were frozen. */
  readonly time: Date;
}

/** Freezes the disks and makes the checkpoint at one instant. A checkpoint whose bitmaps are broken is deleted, and nothing asked of it. */
export async function beginJob(context: LibvirtContext, job: JobRequest): Promise<BegunJob> {
  try {
    return await begin(context, job);
  } catch (error) {
    const { base } = job;
    const name = base.kind === 'checkpoint' ? base.name : null;
    if (base.kind !== 'checkpoint' || name === null) throw error;
    if (!isLibvirtError(error, 'VB_LIBVIRT_CHECKPOINT_INCONSISTENT', 'VB_LIBVIRT_NO_CHECKPOINT')) throw error;
    const { domain } = job.place;
    await job.request.journal.record({ step: 'drop-checkpoint', domain, checkpoint: name });
    await dropCheckpoint(await context.link.get(), domain, name, { signal: job.signal });
    const lost = { kind: 'lost', record: base.record, reason: 'tracking-lost', detail: error.libvirtMessage } as const;
    return begin(context, { ...job, base: lost });
  }
}

async function begin(context: LibvirtContext, job: JobRequest): Promise<BegunJob> {
  const { place, chosen, base, request, signal } = job;
  const { journal } = request;
  const { domain } = place;
  const files = filesOf(context.options.scratchFolder, job);
  const disks = chosen.disks.map((choice, at) => ({
    target: choice.disk.target,
    scratch: files.scratches[at] ?? '',
    since: sinceOf(base, choice),
  }));
  const xml = jobXml({ server: job.access.server, disks, leftOut: chosen.others });
  const checkpointXml = checkpointXmlOf(job);
  const entry: JobEntry = {
    step: 'job',
    domain,
    ...files,
    checkpoint: checkpointXml === undefined ? null : job.name,
    keep: request.keepCheckpoint,
    owner: { ...job.owner },
  };
  let answered = false;
  const work = async (): Promise<Date> => {
    const libvirt = await context.link.get();
    await journal.record({ ...entry });
    const time = new Date();
    try {
      await libvirt.beginBackup(domain, { xml, checkpointXml }, { signal });
      answered = true;
    } catch (error) {
      // A daemon that refuses a job has taken back what it had begun of it.
      answered = error instanceof LibvirtError && error.code !== 'VB_LIBVIRT_CLOSED' && !libvirt.lost.aborted;
      throw meaningOf(error);
    }
    return time;
  };
  try {
    return { entry, base, time: await whileQuiet(context, { domain, journal, signal }, work) };
  } finally {
    if (answered) await journal.record({ step: 'answered', domain });
  }
}

/** libvirt knows of no job, and cannot begin one: what a daemon that was killed left, where it is not the user's own work. */
function meaningOf(cause: unknown): unknown {
  if (!isLibvirtError(cause, 'VB_LIBVIRT_FAILED')) return cause;
  const { libvirtMessage } = cause;
  if (libvirtMessage.includes('has a blockjob assigned')) {
    return new VBackupError('VB_LIBVIRT_JOB', `the domain cannot begin a job: ${libvirtMessage}`, {
      cause,
      cure: 'wait until it ends (virsh blockjob <domain> <disk>); one that a killed libvirtd left is ended with --abort, on every disk',
    });
  }
  if (!libvirtMessage.includes('NBD server already running')) return cause;
  return new VBackupError('VB_LIBVIRT_JOB_STUCK', 'QEMU still offers the disks for a backup job that libvirt lost', {
    cause,
    cure: `if nobody reads them: virsh qemu-monitor-command <domain> '{"execute":"nbd-server-stop"}'`,
  });
}

/** Undefined where no later increment shall stand on it, or no disk can record changes. */
function checkpointXmlOf({ chosen, name, owner, request }: JobRequest): string | undefined {
  const targets = (kind: 'tracked' | 'untracked'): readonly string[] =>
    chosen.disks.filter((choice) => choice.kind === kind).map(({ disk }) => disk.target);
  const tracked = targets('tracked');
  if (!request.keepCheckpoint || tracked.length === 0) return undefined;
  return newCheckpointXml({ name, owner, tracked, untracked: [...targets('untracked'), ...chosen.others] });
}

function filesOf(folder: string, { name, place, chosen, access }: JobRequest): Pick<JobEntry, 'socket' | 'scratches'> {
  const scratches = chosen.disks.map(({ disk }) => join(folder, scratchName(name, disk.target, place)));
  return { socket: access.server.kind === 'unix' ? access.server.socket : null, scratches };
}
