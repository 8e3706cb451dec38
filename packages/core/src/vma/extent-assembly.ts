import type { ClusterContent } from './cluster-content.js';
import { encodeExtentHeader, type NewExtentSlot } from './extent-encode.js';
import { VMA_CLUSTER_LENGTH, VMA_PVE_SLOTS_PER_EXTENT } from './words.js';

/**
 * One extent that fills up with clusters. Their blocks stay where they are, in their owners' memory, until {@link keep}
 * copies those that are not written yet: whoever gives large pieces pays for no copy, and nobody waits for an extent that
 * others have to fill.
 */
export class ExtentAssembly {
  readonly #own = Buffer.allocUnsafeSlow(VMA_PVE_SLOTS_PER_EXTENT * VMA_CLUSTER_LENGTH);
  #ownLength = 0;
  #pieces: Buffer[] = [];
  #slots: NewExtentSlot[] = [];

  get isEmpty(): boolean {
    return this.#slots.length === 0;
  }

  /** Proxmox's writer uses 58 of the 59 slots. */
  get isFull(): boolean {
    return this.#slots.length === VMA_PVE_SLOTS_PER_EXTENT;
  }

  add(place: { readonly deviceId: number; readonly clusterIndex: number }, content: ClusterContent): void {
    const { deviceId, clusterIndex } = place;
    const { mask, blockCount, pieces } = content;
    this.#slots.push({ deviceId, clusterIndex, mask, blockCount });
    for (const piece of pieces) this.#addPiece(piece);
  }

  /** Copies what lies in the memory of others. */
  keep(): void {
    for (const piece of this.#pieces) this.#ownLength += piece.copy(this.#own, this.#ownLength);
    this.#pieces = [];
  }

  /** The extent's bytes, in order. They stay valid until {@link clear}, as far as their owners keep them. */
  encode(uuid: Buffer): readonly Buffer[] {
    const own = this.#ownLength === 0 ? [] : [this.#own.subarray(0, this.#ownLength)];
    return [encodeExtentHeader(uuid, this.#slots), ...own, ...this.#pieces];
  }

  clear(): void {
    this.#slots = [];
    this.#pieces = [];
    this.#ownLength = 0;
  }

  /** Pieces that touch in memory become one. */
  #addPiece(piece: Buffer): void {
    const last = this.#pieces.at(-1);
    const touches = last?.buffer === piece.buffer && last.byteOffset + last.length === piece.byteOffset;
    if (last === undefined || !touches) this.#pieces.push(piece);
    else this.#pieces.splice(-1, 1, Buffer.from(last.buffer, last.byteOffset, last.length + piece.length));
  }
}
