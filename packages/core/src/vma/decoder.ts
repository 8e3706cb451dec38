import { ByteQueue } from '../bytes/index.js';
import { ProtocolError } from '../errors/index.js';
import type { VmaDamage, VmaEvent, VmaHeader, VmaWarning } from './archive.js';
import { damageError } from './damage.js';
import { clusterScratch, ExtentBlocks, type StoredCluster } from './extent-blocks.js';
import { beginsExtent, decodeExtentHeader, findExtent } from './extent-decode.js';
import { beginsArchive, decodeHeader, decodeHeaderLength, requireMagic } from './header-decode.js';
import { ArchiveLedger, type DeviceFacts } from './ledger.js';
import { VMA_EXTENT_HEADER_LENGTH, VMA_FIXED_HEADER_LENGTH } from './words.js';

/** What is looked at in one step of a search; more than an extent's header. */
const SEARCH_LENGTH = 64 * 1024;
const NO_BYTES = Buffer.alloc(0);

export interface VmaDecoderOptions {
  /** Damages become events, and reading goes on where it can. Those of the header are errors all the same. */
  readonly salvage?: boolean | undefined;
  /** Clusters come without their data, and stored blocks need not be pushed; see {@link VmaDecoder.skippable}. */
  readonly headersOnly?: boolean | undefined;
}

interface Archive {
  readonly header: VmaHeader;
  readonly ledger: ArchiveLedger;
}

type Step = 'fixed-header' | 'header' | 'extent' | 'blocks' | 'search';

/**
 * Reads a VMA archive of version 1, in pieces of any length. Every rule of the format is checked, also that every cluster of
 * every device comes exactly once, which Proxmox's `vma verify` does not. The blocks have no checksum in the format: changed
 * ones cannot be told without a sidecar.
 *
 * When salvaging, what is no extent ends the certainty where the next one begins; it is searched for by its magic, uuid and
 * checksum. A slot that breaks a rule is left out with its blocks, and the others of its extent are kept.
 *
 * Memory: what was pushed and not read, the header while it comes (64 MiB at most), and two to three bits for a cluster seen,
 * or at most 576 bytes for one far from all others. Nothing is allocated because a length field asks for it.
 *
 * @throws ProtocolError VB_VMA_…, with the byte, the device and the cluster; see docs/errors.md
 */
export class VmaDecoder {
  readonly #salvage: boolean;
  readonly #scratch: Buffer | undefined;
  readonly #queue = new ByteQueue();
  readonly #warned = new Set<string>();
  /** Bytes of the archive that never were in the queue. */
  #base = 0;
  #step: Step = 'fixed-header';
  #fixed: { readonly bytes: Buffer; readonly headerLength: number } | undefined;
  #archive: Archive | undefined;
  #blocks: ExtentBlocks | undefined;
  /** What ended the certainty where extents begin. */
  #lost: VmaDamage | undefined;

  constructor({ salvage = false, headersOnly = false }: VmaDecoderOptions = {}) {
    this.#salvage = salvage;
    this.#scratch = headersOnly ? undefined : clusterScratch();
  }

  /** Where the next byte that is pushed belongs in the archive. */
  get position(): number {
    return this.#at + this.#queue.length;
  }

  /** What the archive held so far, by device; empty before the header. */
  facts(): DeviceFacts[] {
    return this.#archive?.ledger.facts() ?? [];
  }

  /** Bytes from `position` on that need not be pushed; see {@link skip}. 0 unless only headers are read. */
  get skippable(): number {
    return this.#scratch === undefined && this.#queue.length === 0 ? (this.#blocks?.left ?? 0) : 0;
  }

  /** An extent is being searched for: all that follows is wanted. */
  get searching(): boolean {
    return this.#step === 'search';
  }

  /** Tells that bytes were left out: no more than {@link skippable}, and no more than the archive has. */
  *skip(length: number): Generator<VmaEvent> {
    this.#base += length;
    this.#blocks?.pass(length);
    yield* this.push(NO_BYTES);
  }

  *push(chunk: Buffer): Generator<VmaEvent> {
    this.#queue.push(chunk);
    for (let moved = true; moved; ) {
      const { offset } = this.#queue;
      const step = this.#step;
      yield* this.#advance();
      moved = this.#queue.offset !== offset || this.#step !== step;
    }
  }

  /**
   * Tells that the archive ended. Clusters that never came are found here.
   * @returns what salvaging has still to say
   * @throws ProtocolError VB_VMA_TRUNCATED_HEADER, …_BAD_MAGIC, …_TRUNCATED_EXTENT, …_TRAILING_DATA, …_MISSING_CLUSTER
   */
  end(): Iterable<VmaEvent> {
    const end = this.position;
    const ledger = this.#archive?.ledger;
    if (ledger === undefined) throw this.#shortHeader(end);
    const damage = this.#lost === undefined ? this.#shortExtent(end) : passedOver(this.#lost, end);
    if (this.#salvage) return lastEvents(damage, ledger.missing(end));
    const first = damage ?? ledger.firstMissing(end);
    if (first !== undefined) throw damageError(first);
    return [];
  }

  /** Where the next byte of the queue belongs in the archive. */
  get #at(): number {
    return this.#base + this.#queue.offset;
  }

  *#advance(): Generator<VmaEvent> {
    switch (this.#step) {
      case 'fixed-header':
        return this.#readFixedHeader();
      case 'header':
        return yield* this.#readHeader();
      case 'extent':
        return yield* this.#readExtent();
      case 'blocks':
        return yield* this.#readBlocks();
      case 'search':
        return yield* this.#search();
    }
  }

  #readFixedHeader(): void {
    const bytes = this.#queue.take(VMA_FIXED_HEADER_LENGTH);
    if (bytes === undefined) return;
    // A copy: the rest may come after the chunk is used again.
    this.#fixed = { bytes: Buffer.from(bytes), headerLength: decodeHeaderLength(bytes) };
    this.#step = 'header';
  }

  *#readHeader(): Generator<VmaEvent> {
    if (this.#fixed === undefined) return;
    const { bytes, headerLength } = this.#fixed;
    if (this.#queue.length < headerLength - bytes.length) return;
    // Gathered once, where it is checked: a header may have 64 MiB.
    this.#queue.unshift(bytes);
    const whole = this.#queue.take(headerLength) ?? NO_BYTES;
    this.#fixed = undefined;
    const { header, warnings } = decodeHeader(whole);
    this.#archive = { header, ledger: new ArchiveLedger(header) };
    this.#step = 'extent';
    yield { type: 'header', header };
    for (const warning of warnings) yield { type: 'warning', warning };
  }

  *#readExtent(): Generator<VmaEvent> {
    const fileOffset = this.#at;
    const bytes = this.#queue.take(VMA_EXTENT_HEADER_LENGTH);
    if (bytes === undefined || this.#archive === undefined) return;
    const header = decodeExtentHeader(bytes, { uuid: this.#archive.header.uuid, offset: fileOffset });
    if (!('slots' in header)) return this.#lose(header, bytes);
    this.#blocks = new ExtentBlocks(header, this.#at, this.#scratch);
    this.#step = 'blocks';
    yield { type: 'extent', fileOffset, blockCount: header.blockCount, clusters: header.slots.length };
    if (!header.gaps) return;
    const message = 'an unused slot stands in front of a used one';
    yield* this.#warnOnce('UNUSED_SLOT', { code: 'UNUSED_SLOT', message, offset: fileOffset });
  }

  *#readBlocks(): Generator<VmaEvent> {
    const blocks = this.#blocks;
    if (blocks === undefined) return;
    for (let stored = blocks.take(this.#queue); stored !== undefined; stored = blocks.take(this.#queue)) {
      yield* this.#deliver(stored);
    }
    if (blocks.current !== undefined) return;
    this.#blocks = undefined;
    this.#step = 'extent';
  }

  *#deliver({ slot, data, fileOffset }: StoredCluster): Generator<VmaEvent> {
    const device = this.#archive?.ledger.device(slot.deviceId);
    const damage = device === undefined ? unknownDevice(slot) : device.accept(slot);
    if (damage !== undefined) {
      if (!this.#salvage) throw damageError(damage);
      yield { type: 'damage', damage };
    } else if (device !== undefined) {
      const warning = device.behindEnd(slot, data);
      if (warning !== undefined) yield* this.#warnOnce(`${warning.code} ${slot.deviceId}`, warning);
      const { mask, length } = device.clip(slot);
      const { clusterIndex } = slot;
      const own = data.length > length ? data.subarray(0, length) : data;
      yield { type: 'cluster', device: device.device, clusterIndex, mask, data: own, fileOffset };
    }
  }

  /** From here on it is not known where extents begin. */
  #lose(damage: VmaDamage, bytes: Buffer): void {
    if (!this.#salvage) throw damageError(damage);
    this.#lost = damage;
    // The bytes may hold the beginning of an extent themselves, though not at their own.
    this.#queue.unshift(bytes.subarray(1));
    this.#step = 'search';
  }

  *#search(): Generator<VmaEvent> {
    const offset = this.#at;
    const bytes = this.#queue.take(Math.min(this.#queue.length, SEARCH_LENGTH));
    if (bytes === undefined || this.#archive === undefined || this.#lost === undefined) return;
    const { at, found } = findExtent(bytes, { uuid: this.#archive.header.uuid, offset });
    this.#queue.unshift(bytes.subarray(at));
    if (!found) return;
    const damage = passedOver(this.#lost, offset + at);
    this.#lost = undefined;
    this.#step = 'extent';
    yield { type: 'damage', damage };
  }

  #shortHeader(end: number): ProtocolError {
    const bytes = this.#fixed?.bytes ?? this.#queue.take(this.#queue.length) ?? NO_BYTES;
    if (!beginsArchive(bytes)) requireMagic(Buffer.concat([bytes, Buffer.alloc(4)]));
    return new ProtocolError('VB_VMA_TRUNCATED_HEADER', 'archive ends inside of its header', end);
  }

  /** What is left where the archive ends, if it is not the end of an extent. */
  #shortExtent(end: number): VmaDamage | undefined {
    const slot = this.#blocks?.current;
    if (slot !== undefined) {
      const message = `archive ends inside of an extent, before cluster ${slot.clusterIndex} of device ${slot.deviceId}`;
      return { code: 'VB_VMA_TRUNCATED_EXTENT', message, offset: end };
    }
    const offset = this.#at;
    const bytes = this.#queue.take(this.#queue.length) ?? NO_BYTES;
    const { length } = bytes;
    if (length === 0) return undefined;
    if (!beginsExtent(bytes)) {
      return { code: 'VB_VMA_TRAILING_DATA', message: `${length} bytes behind the last extent`, offset, length };
    }
    const message = 'archive ends inside of the header of an extent';
    return { code: 'VB_VMA_TRUNCATED_EXTENT', message, offset: end };
  }

  *#warnOnce(key: string, warning: VmaWarning): Generator<VmaEvent> {
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    yield { type: 'warning', warning };
  }
}

const passedOver = (damage: VmaDamage, end: number): VmaDamage => ({ ...damage, length: end - damage.offset });

const unknownDevice = ({ clusterIndex, deviceId, offset }: StoredCluster['slot']): VmaDamage => ({
  code: 'VB_VMA_UNKNOWN_DEVICE',
  message: `cluster ${clusterIndex} of device ${deviceId}, which the header does not have`,
  offset,
});

function* lastEvents(damage: VmaDamage | undefined, missing: Iterable<VmaDamage>): Generator<VmaEvent> {
  if (damage !== undefined) yield { type: 'damage', damage };
  for (const range of missing) yield { type: 'damage', damage: range };
}
