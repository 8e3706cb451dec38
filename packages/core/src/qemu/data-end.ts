import { resolve } from 'node:path';
import * as v from 'valibot';
import type { WithSignal } from '../hypervisor/index.js';
import { runQemu } from './run-qemu.js';

/** No line of a map is longer; what is longer is no entry. */
const LINE_LENGTH = 4096;

/** One entry of `qemu-img map --output=json`; `offset` is missing where the data is compressed. */
const EntrySchema = v.object({
  length: v.pipe(v.number(), v.finite()),
  depth: v.pipe(v.number(), v.finite()),
  data: v.boolean(),
  offset: v.optional(v.pipe(v.number(), v.finite())),
});

/** Where the data of an image ends in its file, told by a map that comes in pieces, with an entry in each line. */
export class DataEnd {
  #rest = '';
  #end = 0;

  push(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = (lines.pop() ?? '').slice(0, LINE_LENGTH);
    for (const line of lines) this.#take(line);
  }

  /** @returns the first byte of the file behind all data */
  end(): number {
    this.#take(this.#rest);
    return this.#end;
  }

  #take(line: string): void {
    const text = /\{.*\}/.exec(line)?.[0];
    if (text === undefined) return;
    const { data, depth, offset, length } = v.parse(EntrySchema, JSON.parse(text));
    if (data && depth === 0 && offset !== undefined) this.#end = Math.max(this.#end, offset + length);
  }
}

export interface DataEndOptions extends WithSignal {
  /** QEMU's name of the format. */
  readonly format: string;
}

/**
 * Asks `qemu-img map` where the data of an image ends in its file, in bytes. QEMU reads what lies behind the end of the
 * file as zeros, and says nothing.
 * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_ACCESS_DENIED
 */
export async function imageDataEnd(path: string, { format, signal }: DataEndOptions): Promise<number> {
  const args = ['map', '--output=json', '-f', format, '--', resolve(path)];
  const found = new DataEnd();
  const onOutput = (chunk: Buffer): void => found.push(chunk);
  await runQemu({ program: 'qemu-img', args, action: `cannot open ${path}`, onOutput, signal });
  return found.end();
}
