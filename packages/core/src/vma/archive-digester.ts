import { UnsupportedError } from '../errors/index.js';
import { copyInto, fillZeros } from '../memory/shared-bytes.js';
import type { VmaClusterEvent, VmaDevice } from './archive.js';
import { isVmstate } from './ledger.js';
import { blockRuns } from './mask-bitmap.js';
import { isZero, PIECE_LENGTH, PieceDigests, type PieceHasher, plainHasher } from './piece-digests.js';
import type { DeviceDigests, Sidecar } from './sidecar.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from './words.js';

const CLUSTERS_PER_PIECE = PIECE_LENGTH / VMA_CLUSTER_LENGTH;
/** Pieces that may be incomplete or being hashed at a time: 64 MiB. */
const MAX_PIECES_IN_MEMORY = 64;
/** Pieces that are hashed at a time. */
const MAX_HASHED_AT_ONCE = 4;

export interface DigesterOptions {
  readonly hasher?: PieceHasher | undefined;
  /** The own bytes of devices, by id, where the archive's size is not it. */
  readonly lengths?: ReadonlyMap<number, number> | undefined;
}

interface OpenPiece {
  /** Clusters that were seen. */
  clusters: number;
  /** Undefined as long as all is zeros. */
  bytes: Buffer | undefined;
}

interface OpenDevice {
  readonly device: VmaDevice;
  readonly pieces: PieceDigests;
  readonly open: Map<number, OpenPiece>;
  clusterCount: number;
}

/**
 * Computes the digests of an archive's devices from its clusters, as they come. Any order will do in which few mebibytes are
 * incomplete at a time; for others, digest by random access.
 */
export class ArchiveDigester {
  readonly #uuid: Buffer;
  readonly #devices: ReadonlyMap<number, OpenDevice>;
  readonly #hasher: PieceHasher;
  readonly #lengths: ReadonlyMap<number, number>;
  readonly #free: Buffer[] = [];
  readonly #hashing: Promise<void>[] = [];
  #inMemory = 0;

  constructor(
    header: { readonly uuid: Buffer; readonly devices: readonly VmaDevice[] },
    options: DigesterOptions = {},
  ) {
    this.#uuid = header.uuid;
    this.#hasher = options.hasher ?? plainHasher;
    this.#lengths = options.lengths ?? new Map();
    this.#devices = new Map(
      header.devices.map((device) => [
        device.id,
        { device, pieces: new PieceDigests(), open: new Map<number, OpenPiece>(), clusterCount: 0 },
      ]),
    );
  }

  /** Takes a cluster; what it has of it afterwards is a copy. @throws UnsupportedError VB_UNSUPPORTED out of order */
  async add({ device, clusterIndex, mask, data }: VmaClusterEvent): Promise<void> {
    const state = this.#devices.get(device.id);
    if (state === undefined) return;
    state.clusterCount += 1;
    const pieceIndex = Math.floor(clusterIndex / CLUSTERS_PER_PIECE);
    const piece = state.open.get(pieceIndex) ?? { clusters: 0, bytes: undefined };
    state.open.set(pieceIndex, piece);
    piece.clusters += 1;
    if (mask !== 0 && piece.bytes === undefined) {
      piece.bytes = await this.#take();
      // Zero clusters came before this one.
      if (piece.clusters > 1) fillZeros(piece.bytes, 0, PIECE_LENGTH);
    }
    if (piece.bytes !== undefined) {
      scatter({ mask, data, target: piece.bytes, at: (clusterIndex % CLUSTERS_PER_PIECE) * VMA_CLUSTER_LENGTH });
    }
    const start = pieceIndex * PIECE_LENGTH;
    const whole = isVmstate(device) ? PIECE_LENGTH : Math.min(PIECE_LENGTH, device.size - start);
    if (piece.clusters * VMA_CLUSTER_LENGTH >= whole) await this.#complete(state, pieceIndex, piece);
  }

  /** When all clusters came: what the sidecar says. */
  async finish(): Promise<Sidecar> {
    const devices: DeviceDigests[] = [];
    for (const state of this.#devices.values()) {
      // Of memory the last piece; of other devices there is none that lacks a cluster, or the decoder had said so.
      for (const [pieceIndex, piece] of state.open) await this.#complete(state, pieceIndex, piece);
      const { id, name, size } = state.device;
      devices.push({ id, name, size, length: this.#lengthOf(state), pieces: state.pieces });
    }
    await Promise.all(this.#hashing);
    return { uuid: this.#uuid, devices };
  }

  #lengthOf({ device, clusterCount }: OpenDevice): number {
    if (isVmstate(device)) return clusterCount * VMA_CLUSTER_LENGTH;
    return this.#lengths.get(device.id) ?? device.size;
  }

  async #complete(state: OpenDevice, pieceIndex: number, { bytes }: OpenPiece): Promise<void> {
    state.open.delete(pieceIndex);
    if (bytes === undefined) return;
    const start = pieceIndex * PIECE_LENGTH;
    const end = isVmstate(state.device) ? state.clusterCount * VMA_CLUSTER_LENGTH : this.#lengthOf(state);
    const own = bytes.subarray(0, Math.min(PIECE_LENGTH, end - start));
    if (isZero(own)) {
      this.#give(bytes);
      return;
    }
    const hashed = this.#hasher.hash(own).then((digest) => {
      state.pieces.set(pieceIndex, digest);
      this.#give(bytes);
    });
    hashed.catch(() => undefined);
    this.#hashing.push(hashed);
    if (this.#hashing.length >= MAX_HASHED_AT_ONCE) await this.#hashing.shift();
  }

  /** Its content is whatever was there: every cluster of the piece is going to be put into it. */
  async #take(): Promise<Buffer> {
    if (this.#inMemory >= MAX_PIECES_IN_MEMORY) await Promise.all(this.#hashing.splice(0));
    if (this.#inMemory >= MAX_PIECES_IN_MEMORY) {
      const cure = 'write the archive to a file, and compute the digests from there';
      throw new UnsupportedError('VB_UNSUPPORTED', 'clusters are too far out of order to be hashed as they come', {
        cure,
      });
    }
    this.#inMemory += 1;
    return this.#free.pop() ?? this.#hasher.allocate(PIECE_LENGTH);
  }

  #give(bytes: Buffer): void {
    this.#inMemory -= 1;
    this.#free.push(bytes);
  }
}

/** Puts the blocks of a cluster into their places, those that are stored and those that are zeros. */
function scatter({ mask, data, target, at }: Scatter): void {
  let from = 0;
  for (const { block, count, stored } of blockRuns(mask)) {
    const start = at + block * VMA_BLOCK_LENGTH;
    const length = count * VMA_BLOCK_LENGTH;
    if (!stored) {
      fillZeros(target, start, start + length);
      continue;
    }
    copyInto(target, start, data.subarray(from, from + length));
    from += length;
  }
}

interface Scatter {
  readonly mask: number;
  readonly data: Buffer;
  readonly target: Buffer;
  /** Where the cluster begins in the target. */
  readonly at: number;
}
