import type { Leftover, WithSignal } from '@vbackup/core';
import type { LibvirtContext } from './context.js';
import { dropCheckpoint } from './drop-checkpoint.js';
import { type JobEntry, type JournalEntry, parseEntries } from './journal.js';
import { endLostJob } from './lost-job.js';
import { finishOffline, undoOffline } from './offline/release-offline.js';
import { resume, thaw } from './quiet.js';
import { domainOrNull, finishJob, undoJob } from './release.js';
import { findJob, untilBegun } from './running-job.js';

const THAW_TIMEOUT_MS = 30_000;

/** Finishes or undoes what a run that died left at a domain. Idempotent. */
export async function recoverLeftover(
  context: LibvirtContext,
  leftover: Leftover,
  options: WithSignal = {},
): Promise<void> {
  const entries = parseEntries(leftover.entries);
  const timeout = AbortSignal.timeout(THAW_TIMEOUT_MS);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  // The guest first: it may stand still. The agent of a paused guest is not asked to thaw.
  for (const domain of openOnes(entries, 'pause', 'resumed')) await resume(context, domain);
  for (const domain of openOnes(entries, 'freeze', 'thawed')) await thaw(context, domain, signal);
  const libvirt = await context.link.get();
  for (const entry of entries) {
    if (entry.step === 'drop-checkpoint') await dropCheckpoint(libvirt, entry.domain, entry.checkpoint, options);
  }
  const { committed } = leftover;
  const offline = entries.findLast((entry) => entry.step === 'offline');
  if (offline !== undefined) await (committed ? finishOffline : undoOffline)(context, offline, options);
  // A second try has the same socket and checkpoint as the first.
  const job = entries.findLast((entry) => entry.step === 'job');
  if (job === undefined) return;
  if (committed) await finishJob(libvirt, job, options);
  else await undo(context, { job, answered: wasAnswered(entries, job) }, options);
}

/** What libvirt may have lost is looked for at QEMU: before the job's files are gone, if libvirt knows of no job. */
async function undo(
  context: LibvirtContext,
  { job, answered }: { readonly job: JobEntry; readonly answered: boolean },
  options: WithSignal,
): Promise<void> {
  const libvirt = await context.link.get();
  const facts = await domainOrNull(libvirt, job.domain, options);
  if (answered || facts?.active !== true) return undoJob(libvirt, job, options);
  await untilBegun(libvirt, job.domain, options);
  const known = (await findJob(libvirt, job.domain, options)) !== null;
  if (!known) await endLostJob(context, job, options);
  await undoJob(libvirt, job, options);
  if (known) await endLostJob(context, job, options);
}

/** Whether nobody died between the question for a job and libvirt's answer. */
const wasAnswered = (entries: readonly JournalEntry[], job: JournalEntry): boolean =>
  entries.slice(entries.indexOf(job)).some(({ step }) => step === 'answered');

/** The domains to which something was done that was not taken back. */
function openOnes(
  entries: readonly JournalEntry[],
  begin: JournalEntry['step'],
  end: JournalEntry['step'],
): readonly string[] {
  const open = new Set<string>();
  for (const { step, domain } of entries) {
    if (step === begin) open.add(domain);
    if (step === end) open.delete(domain);
  }
  return [...open];
}
