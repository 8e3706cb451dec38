import type { BlockLimits, BlockWriter, OpenTarget, TargetSpecification, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { endOf } from '@vbackup/core/extent';
import type { XenContext } from './context.js';
import { messageOf } from './errors.js';
import { IntSchema, RefSchema } from './records.js';
import { createDisk, destroyNewDisk, unmark } from './restore-disk.js';
import { findSr, mustWriteZeros, type RestorePlace } from './restore-target.js';
import type { XenSession } from './session.js';
import { XenTask } from './task.js';
import type { HttpExchange } from './transport/transport.js';
import { planUpload, UPLOAD_CHUNK_LENGTH, UPLOAD_END, UploadCursor, type UploadPlan } from './upload-plan.js';

const SECTOR_LENGTH = 512;
const TASK_SETTLE_MS = 10_000;
const ZEROS = Buffer.alloc(1024 * 1024);
const LIMITS: BlockLimits = { alignment: SECTOR_LENGTH, maximumRequest: UPLOAD_CHUNK_LENGTH, maximumInFlight: 1 };

/** Restores into a new disk on a storage repository. */
export function restoreTarget(context: XenContext, place: RestorePlace): OpenTarget {
  return (specification, options = {}) => openUpload(context, place, specification, options);
}

async function openUpload(
  context: XenContext,
  place: RestorePlace,
  specification: TargetSpecification,
  options: WithSignal,
): Promise<BlockWriter> {
  const { session } = context;
  const sr = await findSr(session, place.sr, options);
  const size = Math.ceil(specification.size / SECTOR_LENGTH) * SECTOR_LENGTH;
  const record = {
    name_label: place.name ?? specification.label,
    name_description: 'restored by vbackup',
    SR: sr.reference,
    virtual_size: size,
    type: 'user',
    sharable: false,
    read_only: false,
    xenstore_data: {},
    sm_config: {},
    tags: [],
  };
  const disk = await createDisk(context, record, options);
  const everything = mustWriteZeros(sr.record);
  try {
    await unmark(session, disk, options);
    const made = await session.call(IntSchema, 'VDI.get_virtual_size', [disk], options);
    if (made < size) throw new VBackupError('VB_XEN_RESTORE', `the host made a disk of ${made} bytes, not ${size}`);
    const uuid = await session.call(RefSchema, 'VDI.get_uuid', [disk], options);
    const data = everything ? [{ offset: 0, length: made }] : specification.data;
    const plan = planUpload(data, made);
    const task = await XenTask.create(session, `restore of ${uuid}`, options);
    const exchange = await openExchange(session, { uuid, task, plan }, options);
    return new UploadWriter({ session, disk, task, exchange, plan, size: specification.size, end: made, everything });
  } catch (error) {
    await destroyNewDisk(session, disk).catch((left: unknown) => {
      context.warn({ code: 'VB_XEN_CLEANUP', message: messageOf(left) });
    });
    throw error;
  }
}

async function openExchange(
  session: XenSession,
  { uuid, task, plan }: { readonly uuid: string; readonly task: XenTask; readonly plan: UploadPlan },
  options: WithSignal,
): Promise<HttpExchange> {
  try {
    return await session.http({
      method: 'PUT',
      path: `/import_raw_vdi?vdi=${uuid}&format=raw&chunked=true`,
      cookies: { task_id: task.reference },
      contentLength: plan.contentLength,
      signal: options.signal,
    });
  } catch (error) {
    await task.cancel();
    await task[Symbol.asyncDispose]();
    throw error;
  }
}

interface UploadParts {
  readonly session: XenSession;
  readonly disk: string;
  readonly task: XenTask;
  readonly exchange: HttpExchange;
  readonly plan: UploadPlan;
  /** Of the restored disk. */
  readonly size: number;
  /** Of the new disk, which may be larger. */
  readonly end: number;
  /** All of the disk is sent, zeros too. */
  readonly everything: boolean;
}

/** Sends what was announced, in order; the disk is good when the host's task says so, and is destroyed otherwise. */
class UploadWriter implements BlockWriter {
  readonly size: number;
  readonly limits = LIMITS;
  readonly zeroed: boolean;
  readonly #parts: UploadParts;
  readonly #cursor: UploadCursor;
  #finished = false;

  constructor(parts: UploadParts) {
    this.size = parts.size;
    this.zeroed = !parts.everything;
    this.#parts = parts;
    this.#cursor = new UploadCursor(parts.plan);
  }

  async write(offset: number, bytes: Buffer, options: WithSignal = {}): Promise<void> {
    await this.#fillTo(offset, options);
    if (bytes.length > 0 && this.#cursor.position !== offset) throw unplanned(offset, this.#cursor.position);
    let sent = 0;
    for (const piece of this.#cursor.advance(offset + bytes.length)) {
      if (piece.kind === 'header') {
        await this.#send(piece.bytes, options);
        continue;
      }
      const at = piece.extent.offset - offset;
      if (at !== sent) throw unplanned(offset + sent, piece.extent.offset);
      await this.#send(bytes.subarray(at, at + piece.extent.length), options);
      sent += piece.extent.length;
    }
    if (sent !== bytes.length) throw unplanned(offset + sent, this.#cursor.position);
  }

  /** What was not announced reads as zero already. */
  async zero(offset: number, length: number, options: WithSignal = {}): Promise<void> {
    await this.#fillTo(offset, options);
    await this.#sendZeros(offset + length, options);
  }

  async finish(options: WithSignal = {}): Promise<void> {
    await this.#fillTo(this.#parts.end, options);
    const missing = this.#cursor.position;
    if (missing !== null) {
      throw new VBackupError('VB_XEN_RESTORE', `the data at ${missing} was announced but not written`);
    }
    await this.#send(UPLOAD_END, options);
    try {
      await this.#parts.exchange.end(options);
    } catch (error) {
      throw await this.#explain(error, options);
    }
    // The host's 200 came before the data; only the task tells how it went.
    await this.#parts.task.wait(options);
    this.#finished = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exchange, task, session, disk } = this.#parts;
    await exchange[Symbol.asyncDispose]();
    if (!this.#finished) {
      await task.cancel();
      await task.wait({ signal: AbortSignal.timeout(TASK_SETTLE_MS) }).catch(() => {});
    }
    await task[Symbol.asyncDispose]();
    if (!this.#finished) await destroyNewDisk(session, disk);
  }

  /** Where everything is sent, the gaps between the writes are zeros. */
  async #fillTo(offset: number, options: WithSignal): Promise<void> {
    if (this.#parts.everything) await this.#sendZeros(offset, options);
  }

  async #sendZeros(end: number, options: WithSignal): Promise<void> {
    for (const piece of this.#cursor.advance(end)) {
      if (piece.kind === 'header') await this.#send(piece.bytes, options);
      else {
        for (let { offset } = piece.extent; offset < endOf(piece.extent); offset += ZEROS.length) {
          await this.#send(ZEROS.subarray(0, Math.min(ZEROS.length, endOf(piece.extent) - offset)), options);
        }
      }
    }
  }

  async #send(bytes: Buffer, options: WithSignal): Promise<void> {
    try {
      await this.#parts.exchange.write(bytes, options);
    } catch (error) {
      throw await this.#explain(error, options);
    }
  }

  /** A connection that ends early has its reason in the task. */
  async #explain(error: unknown, { signal }: WithSignal): Promise<unknown> {
    if (signal?.aborted === true) return error;
    try {
      await this.#parts.task.wait({ signal: AbortSignal.timeout(TASK_SETTLE_MS) });
    } catch (failure) {
      if (failure instanceof VBackupError) return failure;
    }
    return error;
  }
}

function unplanned(offset: number, expected: number | null): VBackupError {
  const wanted = expected === null ? 'no more data' : `data at ${expected}`;
  return new VBackupError('VB_INVALID_ARGUMENT', `data at ${offset} was not announced; the upload expects ${wanted}`);
}
