import { abortError, VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { type QemuProgram, spawnQemu } from './program.js';
import { LastWords, refusalError } from './qemu-words.js';

/** An image has at most 65,535 bitmaps and as many snapshots; no description of one comes near this. */
const OUTPUT_LENGTH = 64 * 1024 * 1024;

export interface QemuRun extends WithSignal {
  readonly program: QemuProgram;
  readonly args: readonly string[];
  /** What cannot be done if it fails, e.g. `cannot open /srv/a.qcow2`. */
  readonly action: string;
  /** Takes standard output piece by piece, however much there is; it is not returned then. */
  readonly onOutput?: ((chunk: Buffer) => void) | undefined;
  /** It writes to an image, and is not ended in the middle: neither by the signal nor with this process. */
  readonly changesImage?: boolean | undefined;
}

/**
 * Runs a program of QEMU to its end.
 * @returns its standard output
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_ACCESS_DENIED
 */
export async function runQemu({ program, args, action, onOutput, changesImage, signal }: QemuRun): Promise<string> {
  signal?.throwIfAborted();
  const outlives = changesImage === true;
  const { child, ended } = await spawnQemu(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    outlives,
    // In a session of its own, an interrupt at the terminal does not reach it.
    detached: outlives,
  });
  const stop = (): void => void child.kill('SIGKILL');
  if (!outlives) signal?.addEventListener('abort', stop);
  try {
    const words = new LastWords();
    const chunks: Buffer[] = [];
    let length = 0;
    child.stderr?.on('data', (chunk: Buffer) => words.push(chunk));
    child.stdout?.on('data', (chunk: Buffer) => {
      if (onOutput !== undefined) return onOutput(chunk);
      length += chunk.length;
      if (length <= OUTPUT_LENGTH) chunks.push(chunk);
      else stop();
    });
    const end = await ended;
    if (!outlives && signal?.aborted === true) throw abortError(signal);
    if (length > OUTPUT_LENGTH) throw new VBackupError('VB_QEMU_FAILED', `${action}: ${program} says too much`);
    if (end !== 'exit code 0') throw refusalError({ action, program, words, end });
    return Buffer.concat(chunks).toString('utf8');
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/**
 * The version of an installed program, e.g. `7.2.22`.
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED
 */
export async function qemuVersion(program: QemuProgram, options: WithSignal = {}): Promise<string> {
  const text = await runQemu({ program, args: ['--version'], action: `cannot run ${program}`, ...options });
  // `qemu-img version 7.2.22 (…)`, and `qemu-nbd 7.2.22 (…)`.
  return /\d+\.\d+(?:\.\d+)*/.exec(text)?.[0] ?? 'unknown';
}
