import { constants, createZstdCompress } from 'node:zlib';
import type { ByteDestination } from './output-destination.js';

const DEFAULT_LEVEL = 3;
/** Compressed bytes are passed on in pieces of this length. */
const CHUNK_LENGTH = 256 * 1024;

/**
 * Compresses what goes to another destination, in a thread of its own. The frame has a checksum of its content: a part of
 * what the archive's format lacks.
 */
export class ZstdDestination implements ByteDestination {
  readonly #destination: ByteDestination;
  readonly #zstd;
  readonly #drained: Promise<void>;
  #failure: { readonly error: unknown } | null = null;
  /** Ends the call that is under way: the compressor does not answer any more once it is destroyed. */
  #reject: ((error: unknown) => void) | null = null;

  constructor(destination: ByteDestination, level: number = DEFAULT_LEVEL) {
    this.#destination = destination;
    this.#zstd = createZstdCompress({
      chunkSize: CHUNK_LENGTH,
      params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
    });
    this.#zstd.on('error', () => undefined);
    this.#drained = this.#drain();
  }

  async append(buffers: readonly Buffer[]): Promise<void> {
    for (const buffer of buffers) {
      await this.#untilFailure((done) => this.#zstd.write(buffer, done));
    }
  }

  async finish(): Promise<number> {
    await this.#untilFailure((done) => this.#zstd.end(done));
    await this.#drained;
    if (this.#failure !== null) throw this.#failure.error;
    return this.#destination.finish();
  }

  async abort(): Promise<void> {
    this.#zstd.destroy();
    await this.#drained;
    await this.#destination.abort();
  }

  /** Hands on what is compressed, as fast as it is taken: until then the compressor takes no more. */
  async #drain(): Promise<void> {
    try {
      const chunks: AsyncIterable<Buffer> = this.#zstd;
      for await (const chunk of chunks) await this.#destination.append([chunk]);
    } catch (error) {
      this.#failure = { error };
      this.#reject?.(error);
    }
  }

  async #untilFailure(begin: (done: (error?: Error | null) => void) => void): Promise<void> {
    if (this.#failure !== null) throw this.#failure.error;
    await new Promise<void>((resolve, reject) => {
      this.#reject = reject;
      begin((error) => {
        // What the destination said is told, not that the compressor was stopped because of it.
        if (this.#failure !== null) reject(this.#failure.error);
        else if (error === null || error === undefined) resolve();
      });
    });
    this.#reject = null;
  }
}
