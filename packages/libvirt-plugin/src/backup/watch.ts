import { setTimeout as delay } from 'node:timers/promises';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { LibvirtContext } from './context.js';
import type { JobEntry } from './journal.js';
import { domainOrNull, resumeAfterFullScratch } from './release.js';
import { abortJob, findJob, isJobOf } from './running-job.js';

const INTERVAL_MS = 1_000;
const CHECK_TIMEOUT_MS = 60_000;

/**
 * Looks after the guest while its disks are read. A guest whose scratch file is full is paused by QEMU; the job is ended
 * then and the guest goes on: the backup has failed, which is better than a guest that stands still.
 */
export class JobWatch implements AsyncDisposable {
  readonly #context: LibvirtContext;
  readonly #job: JobEntry;
  readonly #end = new AbortController();
  readonly #running: Promise<void>;
  #fault: VBackupError | null = null;

  constructor(context: LibvirtContext, job: JobEntry, intervalMs: number = INTERVAL_MS) {
    this.#context = context;
    this.#job = job;
    this.#running = this.#run(intervalMs);
  }

  /** What happened to the job; null if it was well when it was last looked at. */
  get fault(): VBackupError | null {
    return this.#fault;
  }

  /** Looks now. @returns the fault, if there is one */
  async look(options: WithSignal = {}): Promise<VBackupError | null> {
    this.#fault ??= await this.#look(options);
    return this.#fault;
  }

  /** Whatever still runs has ended when this returns. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#running;
  }

  async #run(intervalMs: number): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted && this.#fault === null) {
      try {
        await delay(intervalMs, undefined, { signal, ref: false });
        await this.look({ signal: AbortSignal.timeout(CHECK_TIMEOUT_MS) });
      } catch {
        // A daemon that is being restarted cannot be asked; the next look may.
      }
    }
  }

  async #look(options: WithSignal): Promise<VBackupError | null> {
    const { domain } = this.#job;
    const libvirt = await this.#context.link.get();
    const facts = await domainOrNull(libvirt, domain, options);
    if (facts?.active !== true) {
      return new VBackupError(
        'VB_LIBVIRT_DOMAIN_STOPPED',
        `the domain ${facts?.name ?? domain} stopped while it was read`,
        {
          cure: 'start it, and run the backup again',
        },
      );
    }
    const job = await findJob(libvirt, domain, options);
    if (facts.state === 'paused' && facts.pausedReason === 'io-error') {
      if (isJobOf(job, this.#job)) await abortJob(libvirt, domain, options);
      await resumeAfterFullScratch(libvirt, domain, options);
      return scratchFull(this.#context.options.scratchFolder, facts.name);
    }
    if (isJobOf(job, this.#job)) return null;
    return new VBackupError('VB_LIBVIRT_JOB_LOST', `somebody else ended the backup job of ${facts.name}`, {
      cure: 'run the backup again',
    });
  }
}

const scratchFull = (folder: string, name: string): VBackupError =>
  new VBackupError(
    'VB_LIBVIRT_SCRATCH_FULL',
    `the guest ${name} could not write while its disks were read, and was paused`,
    {
      cure: `the job was ended and the guest resumed; make room in ${folder}, or name a larger folder with --libvirt-scratch`,
    },
  );

/** What an error of a read really was; the error itself where the job is well or nobody can be asked. */
export async function explain(error: unknown, watch: JobWatch, options: WithSignal = {}): Promise<unknown> {
  if (options.signal?.aborted === true) return error;
  return (await watch.look(options).catch(() => null)) ?? error;
}
