import type { Warning } from '@vbackup/core';
import type { NbdOpener } from './nbd-opener.js';
import type { OpenQueue } from './open-queue.js';
import type { XenSession } from './session.js';
import type { XenChangeTracker } from './tracker.js';

/** What the parts of one connection to a pool share. */
export interface XenContext {
  readonly session: XenSession;
  readonly tracker: XenChangeTracker;
  readonly openNbd: NbdOpener;
  /** Disks are plugged one after the other. */
  readonly openQueue: OpenQueue;
  /** Clear-text NBD was allowed by the user. */
  readonly insecureNbd: boolean;
  readonly nbdTimeoutMs: number;
  readonly warn: (warning: Warning) => void;
}
