import type { BlockLimits, BlockReader, Extent, OpenDiskOptions, ReadPiece, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { withAllocation } from './allocation.js';
import type { BlockMap } from './block-map.js';
import type { XenContext } from './context.js';
import { messageOf } from './errors.js';
import { fetchBlockMap } from './export-map.js';
import { connectNbd, NBD_ALIGNMENT } from './nbd-disk.js';
import type { VdiRecord } from './records.js';

const LONGEST_REQUEST = 32 * 1024 * 1024;
/** Per connection: xapi's server answers strictly in order, so that a few requests keep it busy. */
const MAXIMUM_IN_FLIGHT = 8;
/** How often a disk is opened anew after its connections were lost for good, with fresh export names. */
const MAXIMUM_REOPENS = 3;

export interface SnapshotSource {
  readonly reference: string;
  readonly record: VdiRecord;
  /** What an increment reads; null where the whole disk is read. */
  readonly changed: readonly Extent[] | null;
}

/** Opens a frozen disk over NBD. */
export async function openSnapshotDisk(
  context: XenContext,
  source: SnapshotSource,
  options: OpenDiskOptions,
): Promise<BlockReader> {
  const { uuid, virtual_size: size } = source.record;
  const connect = async (signal: AbortSignal | undefined): Promise<BlockReader> => {
    const place = { reference: source.reference, uuid };
    const inner = await context.openQueue.run(() => connectNbd(context, place, { ...options, signal }));
    if (inner.size >= size) return inner;
    await inner[Symbol.asyncDispose]();
    throw new VBackupError('VB_XEN_NBD_SIZE', `NBD offers ${inner.size} bytes of snapshot ${uuid}, which has ${size}`);
  };
  const reader = new XenDiskReader(await connect(options.signal), { size, connections: options.connections }, connect);
  const fetch = (inquiry: WithSignal) => blockMap(context, { uuid, size }, inquiry);
  return withAllocation(reader, { changed: source.changed, fetch });
}

/** Null where the host cannot tell; the user hears of it once per disk. */
async function blockMap(
  context: XenContext,
  snapshot: { readonly uuid: string; readonly size: number },
  options: WithSignal,
): Promise<BlockMap | null> {
  try {
    return await fetchBlockMap(context.session, snapshot, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    const message = `snapshot ${snapshot.uuid} is read as a whole, for its block map cannot be had: ${messageOf(error)}`;
    context.warn({ code: 'VB_XEN_NO_BLOCK_MAP', message });
    return null;
  }
}

interface DiskShape {
  readonly size: number;
  readonly connections: number;
}

type Connect = (signal: AbortSignal | undefined) => Promise<BlockReader>;

/**
 * Reads by an NBD client, and replaces it when it has given up: the export's name holds the session's token, and after a
 * new login only a new name is let in.
 */
class XenDiskReader implements BlockReader {
  readonly size: number;
  readonly limits: BlockLimits;
  readonly readAll?: (pieces: readonly ReadPiece[], options?: WithSignal) => Promise<void>;
  readonly #connect: Connect;
  #inner: BlockReader;
  #reopens = 0;
  #reopening: Promise<void> | null = null;
  #closed = false;

  constructor(inner: BlockReader, { size, connections }: DiskShape, connect: Connect) {
    this.#inner = inner;
    this.#connect = connect;
    this.size = size;
    this.limits = {
      alignment: Math.max(inner.limits.alignment, NBD_ALIGNMENT),
      maximumRequest: Math.min(inner.limits.maximumRequest, LONGEST_REQUEST),
      maximumInFlight: Math.min(inner.limits.maximumInFlight, MAXIMUM_IN_FLIGHT * Math.max(connections, 1)),
    };
    if (inner.readAll !== undefined) {
      this.readAll = (pieces, options) => this.#lasting((current) => readTogether(current, pieces, options), options);
    }
  }

  read(offset: number, target: Buffer, options?: WithSignal): Promise<void> {
    return this.#lasting((inner) => inner.read(offset, target, options), options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#reopening?.catch(() => {});
    await this.#inner[Symbol.asyncDispose]();
  }

  /** What fails is done again with the disk opened anew. */
  async #lasting(read: (inner: BlockReader) => Promise<void>, { signal }: WithSignal = {}): Promise<void> {
    for (;;) {
      const inner = this.#inner;
      try {
        await read(inner);
        return;
      } catch (error) {
        signal?.throwIfAborted();
        if (this.#closed || isOurMistake(error)) throw error;
        if (this.#inner === inner) await this.#reopen(error, signal);
      }
    }
  }

  /** Many reads fail at once; the first of them opens the disk again for all. */
  async #reopen(cause: unknown, signal: AbortSignal | undefined): Promise<void> {
    if (this.#reopening === null) {
      if (this.#reopens === MAXIMUM_REOPENS) throw cause;
      this.#reopens += 1;
      this.#reopening = this.#replace(signal).finally(() => {
        this.#reopening = null;
      });
    }
    await this.#reopening;
  }

  async #replace(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#inner[Symbol.asyncDispose]();
    } catch {
      // Its connections are lost already; that is why it is replaced.
    }
    this.#inner = await this.#connect(signal);
  }
}

async function readTogether(
  inner: BlockReader,
  pieces: readonly ReadPiece[],
  options: WithSignal | undefined,
): Promise<void> {
  if (inner.readAll !== undefined) return inner.readAll(pieces, options);
  for (const { offset, target } of pieces) await inner.read(offset, target, options);
}

function isOurMistake(error: unknown): boolean {
  return error instanceof VBackupError && error.code === 'VB_INVALID_ARGUMENT';
}
