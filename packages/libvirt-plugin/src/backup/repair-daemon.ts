import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { LibvirtContext } from './context.js';
import { isLostByDaemon } from './running-job.js';

const run = promisify(execFile);

/** The program stops a daemon and starts it again. */
const PROGRAM_TIMEOUT_MS = 120_000;
const PROGRAM_OUTPUT_LIMIT = 1024 * 1024;
/** So long a daemon may take until it has found its guests again. */
const START_TIMEOUT_MS = 30_000;
const PAUSE_MS = 200;

/**
 * Does `work`, and if the daemon holds the domain for a job that it lost, lets the user's own program repair that, and does it
 * again. Without such a program the error stays: to restart a daemon that others use is not ours to decide.
 * @throws VBackupError VB_LIBVIRT_REPAIR, and what `work` throws
 */
export async function withRepair<T>(
  context: LibvirtContext,
  domain: string,
  work: () => Promise<T>,
  options: WithSignal,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const program = context.options.repair;
    if (program === null || !isLostByDaemon(error)) throw error;
    await repair(context, { domain, program }, options);
    return work();
  }
}

async function repair(
  context: LibvirtContext,
  { domain, program }: { readonly domain: string; readonly program: string },
  { signal }: WithSignal,
): Promise<void> {
  const { name } = await (await context.link.get()).findDomain({ uuid: domain }, { signal });
  const message = `libvirtd holds ${name} for a backup job that it lost when it was killed: ${program} repairs it`;
  context.warn({ code: 'VB_LIBVIRT_REPAIRED', message });
  try {
    await run(program, [name, domain], { timeout: PROGRAM_TIMEOUT_MS, maxBuffer: PROGRAM_OUTPUT_LIMIT, signal });
  } catch (cause) {
    signal?.throwIfAborted();
    const why = cause instanceof Error ? cause.message.trim() : String(cause);
    throw new VBackupError('VB_LIBVIRT_REPAIR', `the program that repairs libvirtd did not succeed: ${why}`, {
      cause,
      cure: `run it by hand: ${program} ${name}`,
    });
  }
  await untilBack(context, domain, { signal });
}

/** The connection to the old daemon may not have noticed yet that it is gone. */
async function untilBack(context: LibvirtContext, domain: string, { signal }: WithSignal): Promise<void> {
  const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
  for (;;) {
    try {
      // Another job than the lost one is told by who asks next.
      const libvirt = await context.link.get();
      await libvirt.jobFacts(domain, { signal });
      return;
    } catch (error) {
      if (deadline.aborted) throw error;
    }
    await delay(PAUSE_MS, undefined, { signal });
  }
}
