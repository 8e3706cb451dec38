import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';

const POLL_MS = 20;
const CHUNK_LENGTH = 64 * 1024;
/** A line for each of 255 devices, with paths of any length. */
const MAX_LENGTH = 4 * 1024 * 1024;

/**
 * Reads the lines that someone writes to a FIFO, up to `done`, an empty line, or the end. Whoever writes may come later, and
 * the wait for it can be aborted: a plain open(2) would wait in the kernel, and could not.
 * @throws VBackupError VB_IO, VB_ACCESS_DENIED, VB_INVALID_ARGUMENT, and the reason of the signal
 */
export async function readFifoLines(path: string, options: WithSignal): Promise<string[]> {
  const { withIo } = await import('@vbackup/core/storage');
  return withIo(`cannot read ${path}`, async () => {
    await using file = await open(path, constants.O_RDONLY + constants.O_NONBLOCK);
    const waits = (await file.stat()).isFIFO();
    const decoder = new TextDecoder();
    let text = '';
    while (text.length <= MAX_LENGTH) {
      options.signal?.throwIfAborted();
      const chunk = await readSome(file);
      if (chunk?.length === 0 && (text !== '' || !waits)) return linesOf(`${text}\ndone\n`) ?? [];
      text += decoder.decode(chunk, { stream: true });
      const lines = linesOf(text);
      if (lines !== undefined) return lines;
      // An abort is told by the next turn.
      if (chunk === undefined || chunk.length === 0) await delay(POLL_MS, undefined, options).catch(() => undefined);
    }
    throw new VBackupError('VB_INVALID_ARGUMENT', `more than ${MAX_LENGTH} characters came through ${path}`);
  });
}

/** Empty where nobody writes; undefined where someone will. */
async function readSome(file: FileHandle): Promise<Buffer | undefined> {
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK_LENGTH), 0, CHUNK_LENGTH, null);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** The lines before the one that ends them; undefined as long as that did not come. */
function linesOf(text: string): string[] | undefined {
  const lines = text.split('\n').slice(0, -1);
  const end = lines.findIndex((line) => line === 'done' || line === '');
  return end < 0 ? undefined : lines.slice(0, end);
}
