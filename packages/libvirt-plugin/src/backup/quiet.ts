import { setTimeout as delay } from 'node:timers/promises';
import type { Journal, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { isLibvirtError } from '../connection/index.js';
import type { LibvirtContext } from './context.js';
import { domainOrNull } from './release.js';

/** How long the daemon waits for the agent: a guest that freezes longer than that is not worth its instant. */
const AGENT_TIMEOUT_SECONDS = 10;
/** An agent that did not answer to a freeze may wake up and execute it: so long it is asked to thaw. */
const THAW_TIMEOUT_MS = 60_000;
const THAW_PAUSE_MS = 500;
const RESUME_TIMEOUT_MS = 20_000;
/** libvirt has one number for an agent that does not answer and one that is not there. */
const NOT_CONNECTED = /not connected/i;

export interface QuietOptions extends WithSignal {
  readonly domain: string;
  readonly journal: Journal;
}

/**
 * Does `work` while the guest is as quiet as the user wants it: file systems frozen, guest paused, or neither. Whatever
 * happens in between, the guest is thawed and goes on afterwards.
 * @throws LibvirtError VB_LIBVIRT_NO_AGENT, VB_LIBVIRT_AGENT_UNRESPONSIVE
 */
export async function whileQuiet<T>(
  context: LibvirtContext,
  options: QuietOptions,
  work: () => Promise<T>,
): Promise<T> {
  const { freeze, pause } = context.options;
  const paused = pause ? () => whilePaused(context, options, work) : work;
  return freeze === null ? paused() : whileFrozen(context, { ...options, mountpoints: freeze }, paused);
}

async function whileFrozen<T>(
  context: LibvirtContext,
  options: QuietOptions & { readonly mountpoints: readonly string[] },
  work: () => Promise<T>,
): Promise<T> {
  const { domain, journal, mountpoints, signal } = options;
  const libvirt = await context.link.get();
  await libvirt.setAgentTimeout(domain, AGENT_TIMEOUT_SECONDS, { signal });
  await journal.record({ step: 'freeze', domain });
  let asked = true;
  try {
    await libvirt.freeze(domain, mountpoints.length === 0 ? { signal } : { signal, mountpoints });
    return await work();
  } catch (error) {
    asked = !neverAsked(error);
    throw error;
  } finally {
    // Not with the user's signal: a guest must not stay frozen because the user lost patience.
    const thawed = !asked || (await thaw(context, domain, AbortSignal.timeout(THAW_TIMEOUT_MS)));
    if (thawed) await journal.record({ step: 'thawed', domain });
  }
}

/** There is no agent, or none that listens: what it never got it cannot execute later. */
const neverAsked = (error: unknown): boolean =>
  isLibvirtError(error, 'VB_LIBVIRT_NO_AGENT') ||
  (isLibvirtError(error, 'VB_LIBVIRT_AGENT_UNRESPONSIVE') && NOT_CONNECTED.test(error.libvirtMessage));

/**
 * Thaws, and tries again until it succeeds or `signal` is raised. A guest without an agent, or without a process, is not
 * frozen.
 * @returns whether the guest is known to be thawed; if it is not, a warning was given
 */
export async function thaw(context: LibvirtContext, domain: string, signal: AbortSignal): Promise<boolean> {
  let last: unknown;
  while (!signal.aborted) {
    try {
      const libvirt = await context.link.get();
      const facts = await domainOrNull(libvirt, domain, { signal });
      if (facts?.active !== true) return true;
      await libvirt.thaw(domain, { signal });
      await libvirt.setAgentTimeout(domain, null, { signal });
      return true;
    } catch (error) {
      if (isLibvirtError(error, 'VB_LIBVIRT_NO_AGENT')) return true;
      last = error;
      await delay(THAW_PAUSE_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  const why = last instanceof Error ? last.message : 'no answer';
  const message = `the file systems of ${domain} may be frozen, or freeze when its agent wakes up: ${why}`;
  context.warn({ code: 'VB_LIBVIRT_FROZEN', message });
  return false;
}

async function whilePaused<T>(context: LibvirtContext, options: QuietOptions, work: () => Promise<T>): Promise<T> {
  const { domain, journal, signal } = options;
  const libvirt = await context.link.get();
  const { state } = await libvirt.findDomain({ uuid: domain }, { signal });
  // One that somebody else paused stays so.
  if (state !== 'running' && state !== 'blocked') return work();
  await journal.record({ step: 'pause', domain });
  try {
    await libvirt.suspendDomain(domain, { signal });
    return await work();
  } finally {
    await resume(context, domain);
    await journal.record({ step: 'resumed', domain });
  }
}

/** @throws VBackupError VB_LIBVIRT_PAUSED */
export async function resume(context: LibvirtContext, domain: string): Promise<void> {
  const signal = AbortSignal.timeout(RESUME_TIMEOUT_MS);
  try {
    const libvirt = await context.link.get();
    const facts = await domainOrNull(libvirt, domain, { signal });
    if (facts?.state === 'paused') await libvirt.resumeDomain(domain, { signal });
  } catch (cause) {
    throw new VBackupError(
      'VB_LIBVIRT_PAUSED',
      `the domain ${domain} was paused for the backup and cannot be resumed`,
      {
        cause,
        cure: `virsh resume ${domain}`,
      },
    );
  }
}
