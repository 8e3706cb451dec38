import { VBackupError } from '../errors/index.js';
import { ArchiveDigester, type DigesterOptions } from './archive-digester.js';
import { VmaDecoder } from './decoder.js';
import type { VmaSink } from './extent-output.js';
import type { Sidecar } from './sidecar.js';

/**
 * Reads an archive again as it is written, before it is anywhere: what leaves is decoded by every rule of the format, and
 * its devices are hashed. So a sidecar comes with streams too, and no byte is read twice.
 */
export class DigestingSink implements VmaSink {
  readonly #sink: VmaSink;
  readonly #options: DigesterOptions;
  readonly #decoder = new VmaDecoder();
  #digester: ArchiveDigester | undefined;

  constructor(sink: VmaSink, options: DigesterOptions = {}) {
    this.#sink = sink;
    this.#options = options;
  }

  async write(buffers: readonly Buffer[]): Promise<void> {
    const written = this.#sink.write(buffers);
    written.catch(() => undefined);
    try {
      for (const buffer of buffers) await this.#read(buffer);
    } finally {
      await written;
    }
  }

  /**
   * When the archive is closed: its sidecar.
   * @throws ProtocolError VB_VMA_… if what was written is no archive
   */
  async finish(): Promise<Sidecar> {
    for (const event of this.#decoder.end()) await this.#add(event);
    if (this.#digester === undefined) throw new VBackupError('VB_INTERNAL', 'an archive ended without a header');
    return this.#digester.finish();
  }

  async #read(bytes: Buffer): Promise<void> {
    for (const event of this.#decoder.push(bytes)) await this.#add(event);
  }

  async #add(event: ReturnType<VmaDecoder['push']> extends Iterable<infer Event> ? Event : never): Promise<void> {
    if (event.type === 'header') this.#digester = new ArchiveDigester(event.header, this.#options);
    if (event.type === 'cluster') await this.#digester?.add(event);
  }
}
