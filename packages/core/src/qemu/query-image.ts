import { resolve } from 'node:path';
import { abortError, VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { type ImageInfo, parseImageInfo } from './image-info.js';
import { spawnQemu } from './program.js';
import { LastWords, refusalError } from './qemu-words.js';

/** An image has at most 65,535 bitmaps and as many snapshots; no description of one comes near this. */
const INFO_LENGTH = 64 * 1024 * 1024;

export interface ImageInfoOptions extends WithSignal {
  /** QEMU's name of the format. Without it QEMU guesses from the content, which a guest may have written. */
  readonly format?: string | undefined;
  /** Looks also into an image that a running machine writes to; what it says may be out of date. Default false. */
  readonly inUse?: boolean | undefined;
}

/**
 * Asks `qemu-img info` about one image, not about those that it stands on.
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_ACCESS_DENIED
 */
export async function imageInfo(path: string, options: ImageInfoOptions = {}): Promise<ImageInfo> {
  const { format, inUse, signal } = options;
  signal?.throwIfAborted();
  const given = format === undefined ? [] : ['-f', format];
  // An absolute path is never taken for a protocol such as nbd:.
  const args = ['info', '--output=json', ...given, ...(inUse === true ? ['-U'] : []), '--', resolve(path)];
  const { child, ended } = await spawnQemu('qemu-img', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const stop = (): void => void child.kill('SIGKILL');
  signal?.addEventListener('abort', stop);
  try {
    const words = new LastWords();
    const chunks: Buffer[] = [];
    let length = 0;
    child.stderr?.on('data', (chunk: Buffer) => words.push(chunk));
    child.stdout?.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= INFO_LENGTH) chunks.push(chunk);
      else stop();
    });
    const end = await ended;
    if (signal?.aborted === true) throw abortError(signal);
    if (length > INFO_LENGTH) throw new VBackupError('VB_QEMU_FAILED', `qemu-img says too much about ${path}`);
    if (end !== 'exit code 0') throw refusalError({ action: `cannot open ${path}`, program: 'qemu-img', words, end });
    return parseImageInfo(Buffer.concat(chunks).toString('utf8'), path);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
