import { stat } from 'node:fs/promises';
import { VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import { ignoringMissing, PARTIAL_SUFFIX } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import type { VmaSink } from './extent-output.js';
import { type ByteDestination, FileDestination, StreamDestination } from './output-destination.js';
import { pvePartialPath } from './pve-name.js';
import { ZstdDestination } from './zstd-destination.js';

export interface OutputOptions extends WithSignal {
  /** Default `none`. Proxmox writes zstd. */
  readonly compression?: 'none' | 'zstd' | undefined;
  /** Of the compression; default 3, that of the `zstd` program. */
  readonly level?: number | undefined;
}

export interface FileOutputOptions extends OutputOptions {
  /** What the archive is called when it is complete. */
  readonly path: string;
  /** What it is called until then: `<path>.partial`, or as Proxmox does it, the last extension replaced by `.dat`, unless that is its own. */
  readonly partial?: 'partial' | 'pve' | undefined;
  /** Replaces an archive that exists, when the new one is complete. */
  readonly force?: boolean | undefined;
}

/** Where an archive is written. Disposed without {@link finish}, it leaves nothing of a file. */
export interface ArchiveOutput extends VmaSink, AsyncDisposable {
  /** Makes the archive durable and gives it its name. Returns the bytes written, compressed if it is. */
  finish(): Promise<number>;
}

/**
 * A file as the place of an archive.
 * @throws VBackupError VB_TARGET_EXISTS, VB_TARGET_INVALID, VB_ACCESS_DENIED, VB_IO
 */
export async function openArchiveOutput(options: FileOutputOptions): Promise<ArchiveOutput> {
  const { path, partial = 'partial', force = false } = options;
  options.signal?.throwIfAborted();
  const found = await withIo(`cannot look at ${path}`, () => ignoringMissing(() => stat(path)));
  if (found !== null && !found.isFile()) throw new VBackupError('VB_TARGET_INVALID', `${path} is no file`);
  if (found !== null && !force) {
    throw new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cure: 'name another file, or use --force' });
  }
  const pvePath = pvePartialPath(path);
  // A file that ends in .dat would have its own name while it is written.
  const partialPath = partial === 'pve' && pvePath !== path ? pvePath : path + PARTIAL_SUFFIX;
  return new DestinationOutput(await FileDestination.open({ path, partialPath, force }), options);
}

/** A stream that is open already, as standard output. It is never ended here. What was written before an error is written. */
export function streamArchiveOutput(stream: NodeJS.WritableStream, options: OutputOptions = {}): ArchiveOutput {
  return new DestinationOutput(new StreamDestination(stream, options.signal), options);
}

class DestinationOutput implements ArchiveOutput {
  readonly #destination: ByteDestination;
  readonly #signal: AbortSignal | undefined;
  #state: 'open' | 'finished' | 'closed' = 'open';

  constructor(destination: ByteDestination, { compression = 'none', level, signal }: OutputOptions) {
    this.#destination = compression === 'zstd' ? new ZstdDestination(destination, level) : destination;
    this.#signal = signal;
  }

  async write(buffers: readonly Buffer[]): Promise<void> {
    this.#signal?.throwIfAborted();
    await this.#destination.append(buffers);
  }

  async finish(): Promise<number> {
    this.#signal?.throwIfAborted();
    const length = await this.#destination.finish();
    this.#state = 'finished';
    return length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'open') await this.#destination.abort();
    this.#state = 'closed';
  }
}
