import { createHash } from 'node:crypto';
import { VBackupError } from '../errors/index.js';
import type { Extent } from '../extent/index.js';
import { formatUuid } from './identity.js';
import { PIECE_LENGTH, type PieceDigests } from './piece-digests.js';

/** What is put behind the name of an archive for the name of its sidecar. */
export const SIDECAR_SUFFIX = '.sha256s';
/** The first line. */
export const SIDECAR_BEGIN = 'vbackup sha256s 1';

/** What the bytes of one device are. */
export interface DeviceDigests {
  readonly id: number;
  readonly name: string;
  /** As the archive names it. */
  readonly size: number;
  /** What is hashed: the device's own bytes, fewer than `size` only if Proxmox's sectors of 512 made it longer. */
  readonly length: number;
  readonly pieces: PieceDigests;
}

/** The digests that an archive lacks. */
export interface Sidecar {
  /** Of the archive. */
  readonly uuid: Buffer;
  /** In the order of their ids. */
  readonly devices: readonly DeviceDigests[];
}

/**
 * A sidecar as text, one line after the other; the same content gives the same text.
 *
 *     vbackup sha256s 1
 *     archive <uuid>
 *     device <id> <size> <length> <name, as a JSON string>
 *     data <id> <offset> <length> <SHA-256 of these bytes>
 *     zero <id> <offset> <length>
 *     digest <id> <SHA-256 of the data and zero lines of this device>
 *     end <SHA-256 of all lines before this one>
 *
 * See docs/formats/sha256s.md.
 */
export function* encodeSidecar({ uuid, devices }: Sidecar): Generator<string, void, undefined> {
  const all = createHash('sha256');
  const noted = (line: string): string => {
    all.update(line);
    return line;
  };
  yield noted(`${SIDECAR_BEGIN}\n`);
  yield noted(`archive ${formatUuid(uuid)}\n`);
  for (const device of devices) {
    const own = createHash('sha256');
    yield noted(`device ${device.id} ${device.size} ${device.length} ${JSON.stringify(device.name)}\n`);
    for (const line of rangeLines(device)) {
      own.update(line);
      yield noted(line);
    }
    yield noted(`digest ${device.id} ${own.digest('hex')}\n`);
  }
  yield `end ${all.digest('hex')}\n`;
}

/** What identifies the content of a whole device: the SHA-256 of its `data` and `zero` lines. Zeros cost nothing. */
export function deviceDigest(device: DeviceDigests): string {
  const own = createHash('sha256');
  for (const line of rangeLines(device)) own.update(line);
  return own.digest('hex');
}

function* rangeLines({ id, length, pieces }: DeviceDigests): Generator<string, void, undefined> {
  const count = Math.ceil(length / PIECE_LENGTH);
  let zeroFrom = 0;
  for (let index = pieces.nextPage(0, count); index < count; index = pieces.nextPage(index + 1, count)) {
    const digest = pieces.get(index);
    if (digest === undefined) continue;
    const offset = index * PIECE_LENGTH;
    if (offset > zeroFrom) yield `zero ${id} ${zeroFrom} ${offset - zeroFrom}\n`;
    zeroFrom = Math.min(length, offset + PIECE_LENGTH);
    yield `data ${id} ${offset} ${zeroFrom - offset} ${digest}\n`;
  }
  if (length > zeroFrom) yield `zero ${id} ${zeroFrom} ${length - zeroFrom}\n`;
}

/** A range of a device that is not what its sidecar says. */
export interface DigestMismatch extends Extent {
  readonly device: DeviceDigests;
}

/**
 * Compares what an archive holds with what its sidecar says: differing pieces, neighbours joined, ascending by device.
 * @throws VBackupError VB_VMA_SIDECAR if it is the sidecar of another archive
 */
export function* compareSidecars(expected: Sidecar, found: Sidecar): Generator<DigestMismatch, void, undefined> {
  requireSame(expected, found);
  for (const [index, device] of expected.devices.entries()) {
    const other = found.devices[index];
    if (other !== undefined) yield* differences(device, other);
  }
}

function* differences(device: DeviceDigests, other: DeviceDigests): Generator<DigestMismatch, void, undefined> {
  const count = Math.ceil(device.length / PIECE_LENGTH);
  const next = (index: number): number =>
    Math.min(device.pieces.nextPage(index, count), other.pieces.nextPage(index, count));
  let from: number | null = null;
  let at = 0;
  for (let index = next(0); index < count; index = next(index + 1)) {
    const differs = device.pieces.get(index) !== other.pieces.get(index);
    if (from !== null && (!differs || index !== at)) {
      yield rangeOf(device, from, at);
      from = null;
    }
    if (differs) from ??= index;
    at = index + 1;
  }
  if (from !== null) yield rangeOf(device, from, at);
}

function rangeOf(device: DeviceDigests, first: number, end: number): DigestMismatch {
  const offset = first * PIECE_LENGTH;
  return { device, offset, length: Math.min(device.length, end * PIECE_LENGTH) - offset };
}

function requireSame(expected: Sidecar, found: Sidecar): void {
  const shape = ({ uuid, devices }: Sidecar): string =>
    [
      formatUuid(uuid),
      ...devices.map(({ id, size, length, name }) => `${id} ${size} ${length} ${JSON.stringify(name)}`),
    ].join('\n');
  if (shape(expected) === shape(found)) return;
  const message = `the sidecar is that of another archive: it names ${formatUuid(expected.uuid)} or other devices`;
  throw new VBackupError('VB_VMA_SIDECAR', message, { cure: 'name the sidecar that was written with this archive' });
}
