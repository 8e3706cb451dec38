import { setImmediate as turnOfEventLoop } from 'node:timers/promises';
import type { VmaSink } from '../vma/extent-output.js';
import type { NewVmaArchive } from '../vma/specification.js';
import { type VmaDeviceWriter, VmaWriter, type VmaWriterOptions } from '../vma/writer.js';

/** Keeps an archive in memory. It looks at what it was given as late as it may: whoever reuses memory too early is seen. */
export class LateSink implements VmaSink {
  readonly #written: Buffer[] = [];
  #underWay = 0;

  async write(buffers: readonly Buffer[]): Promise<void> {
    if (this.#underWay > 0) throw new Error('a second write while one is under way');
    this.#underWay += 1;
    await turnOfEventLoop();
    await turnOfEventLoop();
    for (const buffer of buffers) this.#written.push(Buffer.from(buffer));
    this.#underWay -= 1;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#written);
  }
}

/** Refuses everything from the `count`th write on. */
export class FailingSink implements VmaSink {
  readonly #error: Error;
  #left: number;

  constructor(count: number, error: Error) {
    this.#left = count - 1;
    this.#error = error;
  }

  async write(): Promise<void> {
    await turnOfEventLoop();
    this.#left -= 1;
    if (this.#left < 0) throw this.#error;
  }
}

export const TEST_UUID = Buffer.from('0d8fc66faccb4b1e8b2464002cba376f', 'hex');
export const TEST_CTIME = 1_795_169_818;

export const newArchive = (parts: Partial<NewVmaArchive>): NewVmaArchive => ({
  uuid: TEST_UUID,
  ctime: TEST_CTIME,
  configs: [],
  devices: [],
  ...parts,
});

/** An archive of one device, in memory; `fill` writes to it. */
export async function archiveOf(
  device: { readonly name?: string; readonly size: number },
  fill: (device: VmaDeviceWriter) => Promise<void>,
  options: VmaWriterOptions = {},
): Promise<Buffer> {
  const { name = 'drive-scsi0', size } = device;
  const sink = new LateSink();
  const writer = await VmaWriter.open(newArchive({ devices: [{ name, size }] }), sink, options);
  await fill(writer.device(name));
  await writer.close();
  return sink.bytes();
}
