import { randomUUID } from 'node:crypto';
import { XapiFailure } from '../rpc/call.js';

export interface Session {
  readonly ref: string;
  readonly uuid: string;
  readonly user: string;
  readonly originator: string;
}

/** Logins that were not logged out, and did not expire. */
export class Sessions {
  /** References of all logins so far, in order. */
  readonly opened: string[] = [];
  readonly #sessions = new Map<string, Session>();
  readonly #onEnd: () => void;

  /** `onEnd` hears of every session that ends. */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get count(): number {
    return this.#sessions.size;
  }

  open(user: string, originator: string): Session {
    const session = { ref: `OpaqueRef:${randomUUID()}`, uuid: randomUUID(), user, originator };
    this.#sessions.set(session.ref, session);
    this.opened.push(session.ref);
    return session;
  }

  /** @throws XapiFailure SESSION_INVALID */
  get(ref: string): Session {
    const session = this.#sessions.get(ref);
    if (session === undefined) throw new XapiFailure('SESSION_INVALID', ref);
    return session;
  }

  has(ref: string): boolean {
    return this.#sessions.has(ref);
  }

  close(ref: string): void {
    this.#sessions.delete(ref);
    this.#onEnd();
  }

  /** As after a restart of xapi, or 24 hours of silence. */
  expireAll(): void {
    this.#sessions.clear();
    this.#onEnd();
  }
}
