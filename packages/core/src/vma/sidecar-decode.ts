import { createHash, type Hash } from 'node:crypto';
import { ProtocolError } from '../errors/index.js';
import { VMSTATE_NAME } from './archive.js';
import { parseUuid } from './identity.js';
import { PIECE_LENGTH, PieceDigests } from './piece-digests.js';
import { type DeviceDigests, SIDECAR_BEGIN, type Sidecar } from './sidecar.js';
import {
  VMA_CLUSTER_LENGTH,
  VMA_DEVICE_SLOTS,
  VMA_MAX_BLOB_LENGTH,
  VMA_MAX_DEVICE_SIZE,
  VMA_SECTOR_LENGTH,
} from './words.js';

/** A name is a blob, of which a byte may take six as JSON. */
const MAX_LINE_LENGTH = 6 * VMA_MAX_BLOB_LENGTH + 100;
/** Digests that are kept: 512 MiB of them where they lie together, for 16 TiB of data. */
const MAX_PIECES = 2 ** 24;
const LINE_END = 0x0a;

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';
const NUMBER = '(?:0|[1-9][0-9]{0,15})';
const DIGEST = '[0-9a-f]{64}';
const LINES = {
  archive: new RegExp(`^archive (${UUID})$`),
  device: new RegExp(`^device (${NUMBER}) (${NUMBER}) (${NUMBER}) (".*")$`, 's'),
  data: new RegExp(`^data (${NUMBER}) (${NUMBER}) (${NUMBER}) (${DIGEST})$`),
  zero: new RegExp(`^zero (${NUMBER}) (${NUMBER}) (${NUMBER})$`),
  digest: new RegExp(`^digest (${NUMBER}) (${DIGEST})$`),
  end: new RegExp(`^end (${DIGEST})$`),
} as const;

interface OpenDevice extends DeviceDigests {
  /** What is covered so far. */
  covered: number;
  readonly own: Hash;
}

/** Reads a sidecar: every line must be where the format wants it, every digest must match. */
export class SidecarDecoder {
  readonly #rest = new LineBegin();
  #offset = 0;
  #lineCount = 0;
  readonly #all = createHash('sha256');
  #uuid: Buffer | undefined;
  readonly #devices: DeviceDigests[] = [];
  #open: OpenDevice | undefined;
  #pieceCount = 0;
  #ended = false;

  /** @throws ProtocolError VB_VMA_SIDECAR */
  push(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(LINE_END); end >= 0; end = chunk.indexOf(LINE_END, from)) {
      const line = this.#rest.completedBy(chunk.subarray(from, end + 1));
      this.#line(line);
      this.#offset += line.length;
      from = end + 1;
    }
    this.#rest.append(chunk.subarray(from));
    if (this.#rest.length > MAX_LINE_LENGTH) throw this.#fault('a line is too long');
  }

  /** @throws ProtocolError VB_VMA_SIDECAR if it ends too early */
  end(): Sidecar {
    if (!this.#ended || this.#rest.length > 0 || this.#uuid === undefined) throw this.#fault('it ends too early');
    return { uuid: this.#uuid, devices: this.#devices };
  }

  #line(bytes: Buffer): void {
    const line = bytes.toString('utf8', 0, bytes.length - 1);
    if (this.#ended) throw this.#fault('something follows its end');
    const end = LINES.end.exec(line);
    if (end !== null) return this.#end(end[1]);
    this.#all.update(bytes);
    this.#lineCount += 1;
    if (this.#lineCount === 1) return this.#begin(line);
    if (this.#lineCount === 2) return this.#archive(line);
    if (this.#open === undefined) return this.#device(line);
    return this.#deviceLine(this.#open, line);
  }

  #begin(line: string): void {
    if (line === SIDECAR_BEGIN) return;
    const version = /^vbackup sha256s (\S+)$/.exec(line)?.[1];
    throw this.#fault(version === undefined ? 'it is no sidecar' : `it has version ${version}, only 1 is known`);
  }

  #archive(line: string): void {
    const [, uuid] = LINES.archive.exec(line) ?? [];
    if (uuid === undefined) throw this.#fault('it does not name its archive');
    this.#uuid = parseUuid(uuid);
  }

  #device(line: string): void {
    const [, id, size, length, quoted = ''] = LINES.device.exec(line) ?? [];
    const name = unquoted(quoted);
    if (name === undefined) throw this.#fault('a device should be named here');
    const device = { id: Number(id), name, size: Number(size), length: Number(length), pieces: new PieceDigests() };
    const last = this.#devices.at(-1)?.id ?? 0;
    if (device.id <= last || device.id >= VMA_DEVICE_SLOTS) throw this.#fault(`device ${device.id} after ${last}`);
    if (device.size > VMA_MAX_DEVICE_SIZE || device.length > VMA_MAX_DEVICE_SIZE + VMA_CLUSTER_LENGTH) {
      throw this.#fault(`a device of ${device.length} bytes`);
    }
    // Of the guest's memory the clusters bind, and not the size.
    const behind = device.name === VMSTATE_NAME ? 0 : device.size - device.length;
    if (behind < 0 || behind >= VMA_SECTOR_LENGTH) {
      throw this.#fault(`${device.length} bytes of device ${device.id} are hashed, of ${device.size}`);
    }
    this.#open = { ...device, covered: 0, own: createHash('sha256') };
  }

  #deviceLine(device: OpenDevice, line: string): void {
    const digest = LINES.digest.exec(line);
    if (digest !== null) return this.#closeDevice(device, digest);
    const [, id, offset, length, sha256] = LINES.data.exec(line) ?? LINES.zero.exec(line) ?? [];
    const range = { id: Number(id), offset: Number(offset), length: Number(length) };
    if (range.id !== device.id || range.offset !== device.covered || !(range.length > 0)) {
      throw this.#fault(`byte ${device.covered} of device ${device.id} should come here`);
    }
    const end = range.offset + range.length;
    const whole = end === device.length || (end < device.length && end % PIECE_LENGTH === 0);
    if (!whole || (sha256 !== undefined && range.length > PIECE_LENGTH)) {
      throw this.#fault(`a range of ${range.length} bytes at ${range.offset} of device ${device.id}`);
    }
    if (sha256 !== undefined) this.#keep(device, range.offset / PIECE_LENGTH, sha256);
    device.covered = end;
    device.own.update(`${line}\n`);
  }

  #keep({ pieces }: DeviceDigests, pieceIndex: number, sha256: string): void {
    this.#pieceCount += 1;
    if (this.#pieceCount > MAX_PIECES) throw this.#fault(`more than ${MAX_PIECES} digests`);
    pieces.set(pieceIndex, Buffer.from(sha256, 'hex'));
  }

  #closeDevice(device: OpenDevice, [, id, sha256]: RegExpExecArray): void {
    const { own, covered, ...digests } = device;
    if (Number(id) !== device.id || covered !== device.length) {
      throw this.#fault(`byte ${covered} of device ${device.id} should come here`);
    }
    if (own.digest('hex') !== sha256) throw this.#fault(`the lines of device ${device.id} have another digest`);
    this.#devices.push(digests);
    this.#open = undefined;
  }

  #end(sha256: string | undefined): void {
    if (this.#uuid === undefined || this.#open !== undefined) throw this.#fault('it ends too early');
    if (this.#all.digest('hex') !== sha256) throw this.#fault('its lines have another digest than its end says');
    this.#ended = true;
  }

  #fault(what: string): ProtocolError {
    return new ProtocolError('VB_VMA_SIDECAR', `the sidecar is damaged: ${what}`, this.#offset);
  }
}

/** The begin of a line that comes in pieces, however small: every byte is copied a bounded number of times. */
class LineBegin {
  #bytes = Buffer.alloc(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(piece: Buffer): void {
    const length = this.#length + piece.length;
    if (length > this.#bytes.length) {
      const longer = Buffer.alloc(Math.max(length, 2 * this.#bytes.length));
      this.#bytes.copy(longer, 0, 0, this.#length);
      this.#bytes = longer;
    }
    piece.copy(this.#bytes, this.#length);
    this.#length = length;
  }

  /** The whole line; valid until the next piece is appended. */
  completedBy(end: Buffer): Buffer {
    if (this.#length === 0) return end;
    this.append(end);
    const line = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return line;
  }
}

function unquoted(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
