import { rm } from 'node:fs/promises';
import type { WithSignal } from '@vbackup/core';
import { descriptionOf, isOfRepository, parseCheckpointXml } from '../checkpoint/index.js';
import { type DomainFacts, isLibvirtError, type LibvirtConnection } from '../connection/index.js';
import { dropCheckpoint } from './drop-checkpoint.js';
import type { JobEntry } from './journal.js';
import { abortJob, findJob, isJobOf } from './running-job.js';

/** After the backup is durable: ends the job and deletes the checkpoints that the new one replaces. Idempotent. */
export async function finishJob(libvirt: LibvirtConnection, job: JobEntry, options: WithSignal): Promise<void> {
  const domain = await endJob(libvirt, job, options);
  // Those of a domain that is off wait for the next backup: libvirt deletes only from images that are open.
  if (domain?.active !== true || !job.keep) return;
  for (const name of await replacedCheckpoints(libvirt, job, options)) {
    await dropCheckpoint(libvirt, job.domain, name, options);
  }
}

/** A run that made a checkpoint, or none. */
export type CheckpointMaker = Pick<JobEntry, 'domain' | 'checkpoint' | 'owner'>;

/** The checkpoints of the same chain that libvirt knows, but for the new one. */
export async function replacedCheckpoints(
  libvirt: LibvirtConnection,
  maker: CheckpointMaker,
  options: WithSignal,
): Promise<readonly string[]> {
  const names: string[] = [];
  for (const { name } of await libvirt.listCheckpoints(maker.domain, options)) {
    if (name === maker.checkpoint || !isOfRepository(name, maker.owner.repositoryId)) continue;
    if (await isReplaced(libvirt, { maker, name }, options)) names.push(name);
  }
  return names;
}

/** Ends the job and deletes its checkpoint. Idempotent. */
export async function undoJob(libvirt: LibvirtConnection, job: JobEntry, options: WithSignal): Promise<void> {
  const domain = await endJob(libvirt, job, options);
  if (domain?.active !== true || job.checkpoint === null) return;
  await dropCheckpoint(libvirt, job.domain, job.checkpoint, options);
}

/** A domain and each of its disks may have chains of their own in one repository. */
async function isReplaced(
  libvirt: LibvirtConnection,
  { maker, name }: { readonly maker: CheckpointMaker; readonly name: string },
  options: WithSignal,
): Promise<boolean> {
  try {
    const xml = await libvirt.checkpointXml(maker.domain, name, { ...options, withoutDomain: true });
    return parseCheckpointXml(xml).description === descriptionOf(maker.owner);
  } catch (error) {
    if (isLibvirtError(error, 'VB_LIBVIRT_NO_CHECKPOINT')) return false;
    throw error;
  }
}

/** @returns the domain; null if it is gone, and everything of it */
async function endJob(libvirt: LibvirtConnection, job: JobEntry, options: WithSignal): Promise<DomainFacts | null> {
  const domain = await domainOrNull(libvirt, job.domain, options);
  if (domain?.active === true) {
    const running = await findJob(libvirt, job.domain, options);
    if (isJobOf(running, job)) await abortJob(libvirt, job.domain, options);
    await resumeAfterFullScratch(libvirt, job.domain, options);
  }
  // libvirt removes them itself, unless it was killed; those of another host are out of reach.
  if (job.socket !== null) for (const file of [job.socket, ...job.scratches]) await rm(file, { force: true });
  return domain;
}

/** A guest that was paused because its scratch file was full goes on when the job is gone. */
export async function resumeAfterFullScratch(
  libvirt: LibvirtConnection,
  domain: string,
  options: WithSignal,
): Promise<void> {
  const facts = await domainOrNull(libvirt, domain, options);
  if (facts?.state === 'paused' && facts.pausedReason === 'io-error') await libvirt.resumeDomain(domain, options);
}

export async function domainOrNull(
  libvirt: LibvirtConnection,
  uuid: string,
  options: WithSignal,
): Promise<DomainFacts | null> {
  try {
    return await libvirt.findDomain({ uuid }, options);
  } catch (error) {
    if (isLibvirtError(error, 'VB_LIBVIRT_NO_DOMAIN')) return null;
    throw error;
  }
}
