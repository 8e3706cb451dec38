import { createConnection } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { LibvirtConnection, MonitorRequest } from '../connection/index.js';
import { endingOf, type LostJob, parseAnswer, parseState, type QemuState } from '../job/index.js';
import type { LibvirtContext } from './context.js';
import type { JobEntry } from './journal.js';

const END_TIMEOUT_MS = 20_000;
const PAUSE_MS = 100;
/** A server that runs takes a connection at once. */
const CONNECT_TIMEOUT_MS = 2_000;
/** Without libvirt-qemu.so, or the right to speak to QEMU, nothing can be done here. */
const NO_MONITOR: ReadonlySet<string> = new Set([
  'VB_LIBVIRT_LIBRARY_MISSING',
  'VB_LIBVIRT_ACCESS_DENIED',
  'VB_LIBVIRT_READ_ONLY',
  'VB_LIBVIRT_UNSUPPORTED',
]);

/**
 * Takes away what a job left in QEMU of which libvirt knows nothing, because libvirtd was killed while it began: exports, the NBD
 * server, block jobs, scratch images (whose files keep their space as long as QEMU has them open), and the bitmaps of a checkpoint
 * that libvirt never noted. libvirt has no call for that; QEMU is told by its monitor.
 * @throws VBackupError VB_LIBVIRT_JOB_STUCK
 */
export async function endLostJob(context: LibvirtContext, job: JobEntry, options: WithSignal): Promise<void> {
  // On another host nobody can be asked whether the server is this job's.
  if (job.socket === null) return;
  const libvirt = await context.link.get();
  const { domain } = job;
  const lost = { scratches: job.scratches, bitmap: await unknownCheckpoint(libvirt, job, options) };
  const monitor = new Monitor(libvirt, domain);
  let steps: readonly MonitorRequest[];
  try {
    steps = await nextSteps(monitor, lost, options);
  } catch (error) {
    // What is left then stands in the way of the next job, and says so.
    if (error instanceof VBackupError && NO_MONITOR.has(error.code)) return;
    throw error;
  }
  const serves = await isServed(job.socket, options);
  if (steps.length === 0 && !serves) return;
  const deadline = AbortSignal.timeout(END_TIMEOUT_MS);
  // It takes its socket with it. Those of its exports that somebody still reads end with it as well.
  if (serves) await monitor.try({ execute: 'nbd-server-stop' }, options);
  for (; steps.length > 0; steps = await nextSteps(monitor, lost, options)) {
    for (const step of steps) await monitor.try(step, options);
    if (deadline.aborted) throw stuck(monitor.refusal);
    await delay(PAUSE_MS, undefined, options);
  }
  const message = `libvirtd was killed while a backup job of ${domain} began: what it left in QEMU was ended by QEMU's monitor (the domain is tainted: custom-monitor)`;
  context.warn({ code: 'VB_LIBVIRT_JOB_ENDED', message });
}

async function unknownCheckpoint(
  libvirt: LibvirtConnection,
  { domain, checkpoint }: JobEntry,
  options: WithSignal,
): Promise<string | null> {
  const known = await libvirt.listCheckpoints(domain, options);
  return known.some(({ name }) => name === checkpoint) ? null : checkpoint;
}

async function nextSteps(monitor: Monitor, lost: LostJob, options: WithSignal): Promise<readonly MonitorRequest[]> {
  return endingOf(lost, await monitor.state(options));
}

/** QEMU does not say where its server listens: whether it does so at the job's socket, a connection tells. */
function isServed(socket: string, { signal }: WithSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const timeout = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  const ended = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  const connection = createConnection({ path: socket, signal: ended });
  connection.once('connect', () => resolve(true)).once('error', () => resolve(false));
  return promise.finally(() => connection.destroy());
}

class Monitor {
  readonly #libvirt: LibvirtConnection;
  readonly #domain: string;
  /** What QEMU refused last. */
  refusal: unknown;

  constructor(libvirt: LibvirtConnection, domain: string) {
    this.#libvirt = libvirt;
    this.#domain = domain;
  }

  async state(options: WithSignal): Promise<QemuState> {
    const nodes = await this.#ask({ execute: 'query-named-block-nodes', values: { flat: true } }, options);
    const jobs = await this.#ask({ execute: 'query-jobs' }, options);
    return parseState({ nodes, jobs, exports: await this.#ask({ execute: 'query-block-exports' }, options) });
  }

  /** What is refused is asked for again as long as it is there: libvirt may have done it at the same moment. */
  async try(request: MonitorRequest, options: WithSignal): Promise<void> {
    try {
      await this.#ask(request, options);
    } catch (error) {
      if (!(error instanceof VBackupError) || error.code !== 'VB_LIBVIRT_MONITOR') throw error;
      this.refusal = error;
    }
  }

  async #ask(request: MonitorRequest, options: WithSignal): Promise<unknown> {
    return parseAnswer(request, await this.#libvirt.monitor(this.#domain, request, options));
  }
}

const stuck = (cause: unknown): VBackupError =>
  new VBackupError('VB_LIBVIRT_JOB_STUCK', 'QEMU goes on with a backup job that libvirt lost, and does not end it', {
    cause,
    cure: 'stop the guest and start it again',
  });
