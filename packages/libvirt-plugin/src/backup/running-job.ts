import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { isLibvirtError, type JobFacts, type LibvirtConnection } from '../connection/index.js';
import { parseJob, type RunningJob } from '../job/index.js';
import type { JobEntry } from './journal.js';

const POLL_MS = 100;
const END_TIMEOUT_MS = 30_000;
/** A job that begins is known to libvirt after some tenths of a second, of which it says the same as of a lost one. */
const BEGIN_TIMEOUT_MS = 3_000;
const STUCK = /backup job data missing/;

/** Whether the job that runs is that of an entry: over TCP, only its scratch files have a name. */
export function isJobOf(
  running: RunningJob | null,
  { socket, scratches }: Pick<JobEntry, 'socket' | 'scratches'>,
): boolean {
  if (running === null) return false;
  if (socket !== null) return running.socket === socket;
  return running.socket === null && running.scratches.some((scratch) => scratches.includes(scratch));
}

/**
 * The backup job that runs; null if none does.
 * @throws VBackupError VB_LIBVIRT_XML
 */
export async function findJob(
  libvirt: LibvirtConnection,
  domain: string,
  options: WithSignal,
): Promise<RunningJob | null> {
  const xml = await libvirt.backupXml(domain, options);
  return xml === null ? null : parseJob(xml);
}

/**
 * Makes sure that no job runs before one is begun: libvirt would block for 30 s, and nothing could be said about the cause.
 * A job of an earlier run of the same chain is dead, for the place in the repository is locked: it is ended.
 * @throws VBackupError VB_LIBVIRT_JOB, VB_LIBVIRT_JOB_STUCK
 */
export async function clearWay(
  libvirt: LibvirtConnection,
  { domain, isDead }: { readonly domain: string; readonly isDead: (job: RunningJob) => boolean },
  options: WithSignal,
): Promise<RunningJob | null> {
  const { state, operation } = await jobFactsOf(libvirt, domain, options);
  const job = await findJob(libvirt, domain, options);
  if (job !== null && isDead(job)) {
    await abortJob(libvirt, domain, options);
    return job;
  }
  if (job === null && state !== 'bounded' && state !== 'unbounded') return null;
  throw jobError(job, operation);
}

/** Whether the job of another repository is dead only that repository's lock can tell, wherever it is: its own next run looks. */
function jobError(job: RunningJob | null, operation: string): VBackupError {
  const where = job?.socket === undefined || job.socket === null ? '' : ` at ${job.socket}`;
  const repository = /^vbackup-([0-9a-z]{8})-/.exec(basename(job?.scratches[0] ?? job?.socket ?? ''))?.[1];
  const whose = repository === undefined ? '' : `, of vbackup for the repository ${repository}…`;
  const what = job === null ? operation : 'backup';
  const other = 'or end it with virsh domjobabort if nobody needs it any more';
  const cure =
    repository === undefined
      ? `wait until it ends (virsh domjobinfo), ${other}`
      : `wait until that run ends, start it again if it died, ${other}`;
  return new VBackupError('VB_LIBVIRT_JOB', `the domain has a job already: ${what}${where}${whose}`, { cure });
}

/**
 * libvirt notes that a backup job begins, and only a tenth of a second later which one. A daemon that is killed in between holds
 * the domain's lock for a job that it cannot end (seen with 9.0, where virDomainAbortJob succeeds and does nothing).
 */
async function jobFactsOf(libvirt: LibvirtConnection, domain: string, options: WithSignal): Promise<JobFacts> {
  const deadline = AbortSignal.timeout(BEGIN_TIMEOUT_MS);
  for (;;) {
    try {
      return await libvirt.jobFacts(domain, options);
    } catch (cause) {
      if (!isLibvirtError(cause, 'VB_LIBVIRT_FAILED') || !STUCK.test(cause.libvirtMessage)) throw cause;
      if (deadline.aborted) throw stuck(cause);
    }
    await delay(POLL_MS, undefined, options);
  }
}

const stuck = (cause: unknown): VBackupError =>
  new VBackupError('VB_LIBVIRT_JOB_STUCK', 'libvirt holds the domain for a backup job that it lost', {
    cause,
    cure: "stop the daemon, take the element <job> out of the domain's file in /run/libvirt/qemu, start the daemon: the guest runs on; --libvirt-repair PROGRAM does it by itself",
  });

/**
 * Returns when no job is just beginning, as one may that was asked for by a run that died since: what is known of jobs then is true.
 * One that the daemon lost is as good.
 */
export async function untilBegun(libvirt: LibvirtConnection, domain: string, options: WithSignal): Promise<void> {
  try {
    await jobFactsOf(libvirt, domain, options);
  } catch (error) {
    if (!isLostByDaemon(error)) throw error;
  }
}

/** Whether the daemon holds a domain for a job that it lost: only a daemon that is started anew, without its note, forgets it. */
export const isLostByDaemon = (error: unknown): boolean =>
  error instanceof VBackupError &&
  error.code === 'VB_LIBVIRT_JOB_STUCK' &&
  isLibvirtError(error.cause, 'VB_LIBVIRT_FAILED') &&
  STUCK.test(error.cause.libvirtMessage);

/** Ends the job that runs, and returns when it is gone; no job is as good. */
export async function abortJob(libvirt: LibvirtConnection, domain: string, options: WithSignal): Promise<void> {
  try {
    await libvirt.abortJob(domain, options);
  } catch (error) {
    if (!isLibvirtError(error, 'VB_LIBVIRT_INVALID_STATE', 'VB_LIBVIRT_NO_DOMAIN')) throw error;
    return;
  }
  const deadline = AbortSignal.timeout(END_TIMEOUT_MS);
  while ((await jobOf(libvirt, domain, options)) !== null) {
    if (deadline.aborted) throw new VBackupError('VB_LIBVIRT_JOB', 'the backup job does not end');
    await delay(POLL_MS, undefined, options);
  }
}

async function jobOf(libvirt: LibvirtConnection, domain: string, options: WithSignal): Promise<string | null> {
  try {
    return await libvirt.backupXml(domain, options);
  } catch (error) {
    if (isLibvirtError(error, 'VB_LIBVIRT_NO_DOMAIN')) return null;
    throw error;
  }
}
