import type { ChangeTracker, Extent, WithSignal } from '@vbackup/core';
import * as v from 'valibot';
import { whenIdle } from './busy.js';
import { changedExtents, decodeBitmap } from './cbt-bitmap.js';
import type { XenSession } from './session.js';

/** A point in time of a disk: a snapshot, with its data or without. */
export interface CbtPoint {
  readonly reference: string;
  readonly uuid: string;
}

export type XenChangeTracker = ChangeTracker<CbtPoint, CbtPoint>;

/** Makes the tracker of one session. */
export type OpenChangeTracker = (session: XenSession) => XenChangeTracker;

const LIST_TIMEOUT_MS = 600_000;

/**
 * XenServer's changed block tracking: blocks of 64 KiB that were written between two snapshots. A block that was
 * written with what it held before counts as changed.
 */
export class CbtTracker implements XenChangeTracker {
  readonly #session: XenSession;

  constructor(session: XenSession) {
    this.#session = session;
  }

  /** @throws VBackupError VB_XEN_BITMAP, and XenApiError SR_BACKEND_FAILURE_459 or …_460 when the chain is broken */
  async changes(
    question: { base: CbtPoint; point: CbtPoint; size: number },
    options: WithSignal = {},
  ): Promise<readonly Extent[]> {
    const parameters = [question.base.reference, question.point.reference];
    const text = await whenIdle(
      () =>
        this.#session.call(v.string(), 'VDI.list_changed_blocks', parameters, {
          signal: options.signal,
          timeoutMs: LIST_TIMEOUT_MS,
          large: true,
        }),
      options,
    );
    return changedExtents(decodeBitmap(text), question.size);
  }
}
