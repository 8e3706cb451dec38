import type {
  Diagnosis,
  Guest,
  Hypervisor,
  Leftover,
  OpenTarget,
  Snapshot,
  SnapshotRequest,
  WithSignal,
} from '@vbackup/core';
import type { XenContext } from './context.js';
import { diagnosePool } from './diagnose.js';
import { recoverLeftover } from './recovery.js';
import { restoreTarget } from './restore.js';
import { findSr, parseTarget } from './restore-target.js';
import { findGuest } from './selector.js';
import { takeSnapshot } from './snapshot.js';

/** A connection to a pool of XenServer or XCP-ng hosts. */
export class XenHypervisor implements Hypervisor {
  readonly #context: XenContext;

  constructor(context: XenContext) {
    this.#context = context;
  }

  find(selector: string, options: WithSignal = {}): Promise<Guest> {
    return findGuest(this.#context.session, selector, options);
  }

  snapshot(guest: Guest, request: SnapshotRequest, options: WithSignal = {}): Promise<Snapshot> {
    return takeSnapshot(this.#context, guest, request, options);
  }

  recover(leftover: Leftover, options: WithSignal = {}): Promise<void> {
    return recoverLeftover(this.#context.session, leftover, options);
  }

  async target(target: string, options: WithSignal = {}): Promise<OpenTarget> {
    const place = parseTarget(target);
    await findSr(this.#context.session, place.sr, options);
    return restoreTarget(this.#context, place);
  }

  diagnose(options: WithSignal = {}): AsyncIterable<Diagnosis> {
    return diagnosePool(this.#context.session, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#context.session[Symbol.asyncDispose]();
  }
}
