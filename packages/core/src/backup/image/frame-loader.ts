import type { FileHandle } from 'node:fs/promises';
import { VBackupError } from '../../errors/index.js';
import { encodeFrameHeader, FRAME_HEADER_LENGTH, TERMINATOR } from '../../sparse-stream/frame-header.js';
import { readFully } from '../../storage/durable.js';
import { ioError } from '../../storage/io-error.js';
import type { DigestAlgorithm } from '../frame-digest/digest-algorithm.js';
import type { FrameRecord } from '../frame-index/frame-record.js';
import type { WorkerPool } from '../workers/worker-pool.js';
import { DamagedFrameError } from './damaged-frame.js';

/** What surrounds a payload in the file. */
const ENVELOPE_LENGTH = FRAME_HEADER_LENGTH + TERMINATOR.length;

/** How long a buffer must be for any stored frame of `frameLength` bytes. */
export const storedSlotLength = (frameLength: number): number => frameLength + 4096 + ENVELOPE_LENGTH;

/** One open stream. */
export interface StreamSource {
  readonly file: FileHandle;
  readonly path: string;
  readonly compressed: boolean;
  /** What its index has digests of. */
  readonly algorithm: DigestAlgorithm;
  /** The backup and the disk, for messages. */
  readonly what: string;
}

/** How much of the file belongs to a frame: its header, and of a DATA frame payload and line end. */
export const lengthInFile = (record: FrameRecord): number =>
  record.kind === 'zero' ? FRAME_HEADER_LENGTH : record.storedLength + ENVELOPE_LENGTH;

/**
 * Decodes one DATA frame that was read, and compares its bytes with the digest of the index.
 * @param bytes - the frame as it lies in the file, {@link lengthInFile} bytes; in shared memory
 * @param target - for the disk's bytes, exactly the frame's length; in shared memory. Null if nobody wants them, and nothing has
 * to be decoded
 * @throws DamagedFrameError VB_FRAME_DAMAGED, VB_FRAME_DIGEST
 */
export async function checkDataFrame(
  source: StreamSource,
  record: FrameRecord,
  { workers, bytes, target }: { readonly workers: WorkerPool; readonly bytes: Buffer; readonly target: Buffer | null },
): Promise<void> {
  const damaged = damageOf(source, record);
  const header = encodeFrameHeader({ kind: 'data', start: record.offset, length: record.length });
  if (!bytes.subarray(0, FRAME_HEADER_LENGTH).equals(header)) throw damaged('frame header differs from the index');
  if (!bytes.subarray(-TERMINATOR.length).equals(TERMINATOR)) throw damaged('frame does not end with a line end');
  const payload = bytes.subarray(FRAME_HEADER_LENGTH, FRAME_HEADER_LENGTH + record.storedLength);
  if (!source.compressed && payload.length !== record.length) throw damaged(`payload of ${payload.length} bytes`);
  const digest = await decode(payload, { source, workers, target, start: record.fileOffset }, damaged);
  if (!digest.equals(record.digest)) throw damaged('digest differs', undefined, 'VB_FRAME_DIGEST');
}

/**
 * Has one DATA frame read with its header, decoded, and compared with the digest of the index, all by one worker. The file stays open
 * until this settles.
 * @param memory - `target`: for the disk's bytes, exactly the frame's length; in shared memory
 * @throws DamagedFrameError VB_FRAME_DAMAGED, VB_FRAME_DIGEST
 */
export async function fetchFrame(
  source: StreamSource,
  record: FrameRecord,
  memory: { readonly workers: WorkerPool; readonly target: Buffer },
): Promise<void> {
  const { workers, target } = memory;
  const { fileOffset, storedLength, offset } = record;
  const { algorithm, compressed } = source;
  const damaged = damageOf(source, record);
  if (target.length !== record.length) throw damaged(`frame of ${record.length} bytes is too long`);
  const frame = { file: source.file.fd, fileOffset, storedLength, offset, compressed };
  const { digest } = await workers.load({ algorithm, frame, output: target }).catch((error: unknown) => {
    if (!(error instanceof VBackupError) || error.code === 'VB_INTERNAL') throw error;
    throw error.code === 'VB_FRAME_DAMAGED' ? damaged(error.message, error) : damaged('the file cannot be read', error);
  });
  if (!digest.equals(record.digest)) throw damaged('digest differs', undefined, 'VB_FRAME_DIGEST');
}

/** Reads and checks the header of a ZERO frame. @throws DamagedFrameError VB_FRAME_DAMAGED */
export async function loadZeroFrame(source: StreamSource, record: FrameRecord): Promise<void> {
  const bytes = Buffer.alloc(FRAME_HEADER_LENGTH);
  await fill(source, bytes, record.fileOffset - FRAME_HEADER_LENGTH, damageOf(source, record));
  checkZeroFrame(source, record, bytes);
}

/** Checks the header of a ZERO frame that was read. @throws DamagedFrameError VB_FRAME_DAMAGED */
export function checkZeroFrame(source: StreamSource, record: FrameRecord, bytes: Buffer): void {
  const header = encodeFrameHeader({ kind: 'zero', start: record.offset, length: record.length });
  if (!bytes.equals(header)) throw damageOf(source, record)('frame header differs from the index');
}

type Damaged = (detail: string, cause?: unknown, code?: 'VB_FRAME_DAMAGED' | 'VB_FRAME_DIGEST') => DamagedFrameError;

const damageOf =
  (source: StreamSource, record: FrameRecord): Damaged =>
  (detail, cause, code = 'VB_FRAME_DAMAGED') =>
    new DamagedFrameError(code, placeOf(source, record), detail, cause);

async function decode(
  payload: Buffer,
  work: {
    readonly source: StreamSource;
    readonly workers: WorkerPool;
    readonly target: Buffer | null;
    readonly start: number;
  },
  damaged: Damaged,
): Promise<Buffer> {
  const { source, workers, target, start } = work;
  const { algorithm } = source;
  if (!source.compressed) {
    if (target !== null) payload.copy(target);
    return (await workers.decode({ algorithm, input: target ?? payload, output: null, start })).digest;
  }
  try {
    return (await workers.decode({ algorithm, input: payload, output: target, start })).digest;
  } catch (error) {
    if (error instanceof VBackupError && error.code === 'VB_FRAME_DAMAGED') throw damaged(error.message, error);
    throw error;
  }
}

async function fill(source: StreamSource, bytes: Buffer, position: number, damaged: Damaged): Promise<void> {
  let filled = 0;
  try {
    filled = await readFully(source.file, bytes, Math.max(0, position));
  } catch (error) {
    throw damaged('the file cannot be read', ioError(error, `cannot read ${source.path}`));
  }
  if (filled < bytes.length) throw damaged('the file ends before');
}

const placeOf = (source: StreamSource, record: FrameRecord) => ({
  file: source.path,
  offset: Math.max(0, record.fileOffset - FRAME_HEADER_LENGTH),
  extent: { offset: record.offset, length: record.length },
  what: source.what,
});
