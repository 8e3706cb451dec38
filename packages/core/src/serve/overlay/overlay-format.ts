import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { readUInt64BE, writeUInt64BE } from '../../bytes/index.js';
import { VBackupError } from '../../errors/index.js';

// docs/formats/overlay.md describes these structures to the byte.

/** Header, mark, and every slot of the map. */
export const STRUCTURE_LENGTH = 4096;
/** What a state is kept for; the last block of a disk may be shorter. */
export const BLOCK_LENGTH = 4096;
/** Bytes of states in one slot of the map, four states in each. */
export const STATES_LENGTH = 4000;
export const BLOCKS_PER_PAGE = STATES_LENGTH * 4;
/** Bytes of the disk that one page of the map tells of. */
export const PAGE_SPAN = BLOCKS_PER_PAGE * BLOCK_LENGTH;

export const ID_LENGTH = 16;
const HEADER_MAGIC = 'VBOVRLAY';
const MARK_MAGIC = 'VBOVMARK';
const PAGE_MAGIC = 'VBOVPAGE';
const VERSION = 1;
const MARK_OFFSET = STRUCTURE_LENGTH;
const MAP_OFFSET = 2 * STRUCTURE_LENGTH;
const DATA_ALIGNMENT = 1024 * 1024;
const STATES_OFFSET = 64;
const DIGEST_OFFSET = STRUCTURE_LENGTH - 32;
const TEXT_OFFSET = 64;
const TEXT_LIMIT = DIGEST_OFFSET - TEXT_OFFSET;

/** What an overlay belongs to. */
export interface OverlayBase {
  /** What the bytes beneath are, e.g. the id of a backup: an overlay serves no other. */
  readonly id: string;
  readonly disk: string;
  /** Bytes. */
  readonly size: number;
}

export interface OverlayHeader extends OverlayBase {
  /** 16 random bytes, which every page repeats. */
  readonly overlayId: Buffer;
}

/** Where things are in the file, in bytes. */
export interface OverlayLayout {
  readonly pageCount: number;
  readonly markOffset: number;
  readonly dataOffset: number;
  readonly fileLength: number;
  /** Every page has two slots, which are written in turn. */
  slotOffset(page: number, generation: number): number;
}

export function layoutOf(size: number): OverlayLayout {
  const pageCount = Math.ceil(size / PAGE_SPAN);
  const mapEnd = MAP_OFFSET + pageCount * 2 * STRUCTURE_LENGTH;
  const dataOffset = Math.ceil(mapEnd / DATA_ALIGNMENT) * DATA_ALIGNMENT;
  return {
    pageCount,
    markOffset: MARK_OFFSET,
    dataOffset,
    fileLength: dataOffset + size,
    slotOffset: (page, generation) => MAP_OFFSET + (page * 2 + (generation % 2)) * STRUCTURE_LENGTH,
  };
}

const headerText = v.object({ base: v.string(), disk: v.string() });

/** @throws VBackupError VB_INVALID_ARGUMENT when the names are too long for a header */
export function encodeHeader(header: OverlayHeader): Buffer {
  const text = Buffer.from(JSON.stringify({ base: header.id, disk: header.disk }));
  if (text.length > TEXT_LIMIT) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `names of ${text.length} bytes, at most ${TEXT_LIMIT} in an overlay`);
  }
  const bytes = structure(HEADER_MAGIC);
  bytes.writeUInt32BE(VERSION, 8);
  bytes.writeUInt32BE(BLOCK_LENGTH, 12);
  writeUInt64BE(bytes, header.size, 16);
  header.overlayId.copy(bytes, 24, 0, ID_LENGTH);
  bytes.writeUInt32BE(text.length, 40);
  text.copy(bytes, TEXT_OFFSET);
  return sealed(bytes);
}

/** @throws VBackupError VB_OVERLAY_DAMAGED, VB_UNSUPPORTED for a version that is not known */
export function decodeHeader(bytes: Buffer): OverlayHeader {
  if (bytes.length !== STRUCTURE_LENGTH || bytes.toString('latin1', 0, 8) !== HEADER_MAGIC) {
    throw damaged('it does not begin as an overlay does');
  }
  if (!isSealed(bytes)) throw damaged('its header has another digest');
  const [version, blockLength] = [bytes.readUInt32BE(8), bytes.readUInt32BE(12)];
  if (version !== VERSION || blockLength !== BLOCK_LENGTH) {
    throw new VBackupError('VB_UNSUPPORTED', `an overlay of version ${version} with blocks of ${blockLength} bytes`);
  }
  const length = Math.min(bytes.readUInt32BE(40), TEXT_LIMIT);
  const { base: id, disk } = parseText(bytes.toString('utf8', TEXT_OFFSET, TEXT_OFFSET + length));
  return { id, disk, size: readUInt64BE(bytes, 16), overlayId: Buffer.from(bytes.subarray(24, 24 + ID_LENGTH)) };
}

function parseText(text: string): v.InferOutput<typeof headerText> {
  try {
    return v.parse(headerText, JSON.parse(text));
  } catch {
    throw damaged('its header does not say what it belongs to');
  }
}

/** Whether an overlay was closed in order, or is in use. */
export function encodeMark(closed: boolean): Buffer {
  const bytes = structure(MARK_MAGIC);
  bytes.writeUInt32BE(closed ? 1 : 0, 8);
  return sealed(bytes);
}

/** A mark that cannot be read was being written: the overlay was not closed in order. */
export const isMarkedClosed = (bytes: Buffer): boolean =>
  bytes.toString('latin1', 0, 8) === MARK_MAGIC && isSealed(bytes) && bytes.readUInt32BE(8) === 1;

export interface MapPage {
  readonly index: number;
  /** Counts how often the page was written; the slot with the higher one is valid. */
  readonly generation: number;
  /** {@link STATES_LENGTH} bytes. */
  readonly states: Buffer;
}

export function encodePage(page: MapPage, overlayId: Buffer): Buffer {
  const bytes = structure(PAGE_MAGIC);
  writeUInt64BE(bytes, page.index, 8);
  writeUInt64BE(bytes, page.generation, 16);
  overlayId.copy(bytes, 24, 0, ID_LENGTH);
  page.states.copy(bytes, STATES_OFFSET, 0, STATES_LENGTH);
  return sealed(bytes);
}

/** Null for a slot that was never written, `torn` for one that cannot be believed. */
export function decodeSlot(bytes: Buffer, expected: { index: number; overlayId: Buffer }): MapPage | 'torn' | null {
  if (bytes.equals(NEVER_WRITTEN)) return null;
  if (bytes.toString('latin1', 0, 8) !== PAGE_MAGIC || !isSealed(bytes)) return 'torn';
  const index = readUInt64BE(bytes, 8);
  if (index !== expected.index || !bytes.subarray(24, 24 + ID_LENGTH).equals(expected.overlayId)) return 'torn';
  const states = Buffer.from(bytes.subarray(STATES_OFFSET, STATES_OFFSET + STATES_LENGTH));
  return { index, generation: readUInt64BE(bytes, 16), states };
}

/**
 * The page of two slots: the newer one; null where none was written. After a crash one of them may be torn, and the other
 * is what the last flush left.
 * @param allowed - how many may be torn
 * @throws VBackupError VB_OVERLAY_DAMAGED
 */
export function choosePage(
  slots: readonly (MapPage | 'torn' | null)[],
  allowed: { readonly torn: 0 | 1 },
): MapPage | null {
  if (slots.filter((slot) => slot === 'torn').length > allowed.torn) throw damaged('a page of its map cannot be read');
  const pages = slots.flatMap((slot) => (slot === null || slot === 'torn' ? [] : [slot]));
  return pages.toSorted((a, b) => b.generation - a.generation)[0] ?? null;
}

const NEVER_WRITTEN = Buffer.alloc(STRUCTURE_LENGTH);

function structure(magic: string): Buffer {
  const bytes = Buffer.alloc(STRUCTURE_LENGTH);
  bytes.write(magic, 0, 'latin1');
  return bytes;
}

function sealed(bytes: Buffer): Buffer {
  digestOf(bytes).copy(bytes, DIGEST_OFFSET);
  return bytes;
}

const isSealed = (bytes: Buffer): boolean => digestOf(bytes).equals(bytes.subarray(DIGEST_OFFSET));

const digestOf = (bytes: Buffer): Buffer => createHash('sha256').update(bytes.subarray(0, DIGEST_OFFSET)).digest();

export const damaged = (what: string): VBackupError =>
  new VBackupError('VB_OVERLAY_DAMAGED', `the overlay is damaged: ${what}`, {
    cure: 'serve the backup with another folder for the overlay; what was written to this one is lost',
  });
