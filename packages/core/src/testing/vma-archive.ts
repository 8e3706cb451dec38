import { createHash } from 'node:crypto';
import { VBackupError } from '../errors/index.js';
import { type VmaDamage, type VmaEvent, type VmaHeader, type VmaWarningCode } from '../vma/archive.js';
import { VmaDecoder, type VmaDecoderOptions } from '../vma/decoder.js';
import type { DeviceFacts } from '../vma/ledger.js';
import { blockRuns } from '../vma/mask-bitmap.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from '../vma/words.js';

// What tests know of an archive after they decoded it. It holds whole images: for small archives only.

/** The most that a test allocates for the images of an archive. */
const MAX_IMAGE_LENGTH = 64 * 1024 * 1024;

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

export interface DecodeOptions extends VmaDecoderOptions {
  /** Lengths of the pieces that are pushed, again and again; default: all at once. */
  readonly lengths?: readonly number[];
}

export interface DecodedArchive {
  readonly header: VmaHeader;
  readonly warnings: readonly VmaWarningCode[];
  readonly damages: readonly VmaDamage[];
  readonly extents: readonly { readonly offset: number; readonly blockCount: number; readonly clusters: number }[];
  readonly clusters: { readonly full: number; readonly partial: number; readonly zero: number };
  readonly facts: readonly DeviceFacts[];
  /** SHA-256 of every device, by its order. */
  digests(): string[];
  /** The content of a device. */
  image(id: number): Buffer;
}

/** Decodes a whole archive from memory; @throws what the decoder throws. */
export function decodeArchive(
  bytes: Buffer,
  { lengths = [bytes.length], ...options }: DecodeOptions = {},
): DecodedArchive {
  const decoder = new VmaDecoder(options);
  const collected = new Collected();
  let at = 0;
  for (let piece = 0; at < bytes.length; piece += 1) {
    const end = at + Math.max(1, lengths[piece % lengths.length] ?? 1);
    for (const event of decoder.push(bytes.subarray(at, end))) collected.add(event);
    at = end;
  }
  for (const event of decoder.end()) collected.add(event);
  return collected.result(decoder.facts());
}

class Collected {
  #header: VmaHeader | undefined;
  readonly #warnings: VmaWarningCode[] = [];
  readonly #damages: VmaDamage[] = [];
  readonly #extents: DecodedArchive['extents'][number][] = [];
  readonly #images = new Map<number, Buffer>();

  add(event: VmaEvent): void {
    switch (event.type) {
      case 'header':
        this.#header = event.header;
        return;
      case 'warning':
        this.#warnings.push(event.warning.code);
        return;
      case 'damage':
        this.#damages.push(event.damage);
        return;
      case 'extent': {
        const { fileOffset: offset, blockCount, clusters } = event;
        this.#extents.push({ offset, blockCount, clusters });
        return;
      }
      case 'cluster':
        this.#write(event);
    }
  }

  result(facts: readonly DeviceFacts[]): DecodedArchive {
    const header = this.#header;
    if (header === undefined) throw new VBackupError('VB_INTERNAL', 'archive ended without a header or an error');
    const sum = (of: (device: DeviceFacts) => number): number => facts.reduce((total, device) => total + of(device), 0);
    return {
      header,
      warnings: this.#warnings,
      damages: this.#damages,
      extents: this.#extents,
      clusters: {
        full: sum(({ full }) => full),
        partial: sum(({ partial }) => partial),
        zero: sum(({ zero }) => zero),
      },
      facts,
      digests: () => header.devices.map(({ id }) => sha256(this.image(id))),
      image: (id) => this.image(id),
    };
  }

  image(id: number): Buffer {
    const known = this.#images.get(id);
    if (known !== undefined) return known;
    const size = this.#header?.devices.find((device) => device.id === id)?.size ?? 0;
    // What a header claims is not allocated; a test that gets here with more has to look at something else.
    const image = Buffer.alloc(Math.min(size, MAX_IMAGE_LENGTH));
    this.#images.set(id, image);
    return image;
  }

  #write({ device, clusterIndex, mask, data }: Extract<VmaEvent, { type: 'cluster' }>): void {
    const image = this.image(device.id);
    let from = 0;
    for (const { block, count, stored } of blockRuns(mask)) {
      if (!stored) continue;
      const end = from + count * VMA_BLOCK_LENGTH;
      data.copy(image, clusterIndex * VMA_CLUSTER_LENGTH + block * VMA_BLOCK_LENGTH, from, end);
      from = end;
    }
  }
}
