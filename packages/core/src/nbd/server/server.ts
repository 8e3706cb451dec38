import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NbdAddress } from '../connect-options.js';
import { ByteBudget } from './byte-budget.js';
import { type Listener, listenOn } from './listener.js';
import { limitsOf, type NbdServerLimits, type NbdServerOptions } from './server-options.js';
import { Session } from './session.js';
import { checkTls } from './tls-options.js';

/**
 * An NBD server: fixed newstyle with everything of the baseline and structured replies, TLS, block status. What it
 * shows are {@link NbdExport}s, opened per connection.
 */
export class NbdServer implements AsyncDisposable {
  readonly #listener: Listener;
  readonly #sessions: ReadonlyMap<Session, Promise<void>>;
  readonly #limits: NbdServerLimits;
  #closing: Promise<void> | undefined;

  private constructor(listener: Listener, sessions: ReadonlyMap<Session, Promise<void>>, limits: NbdServerLimits) {
    this.#listener = listener;
    this.#sessions = sessions;
    this.#limits = limits;
  }

  /** @throws VBackupError VB_NBD_SERVER_LISTEN, VB_INVALID_ARGUMENT when TLS is asked for that would let anybody in */
  static async listen(options: NbdServerOptions): Promise<NbdServer> {
    if (options.tls !== undefined) checkTls(options.tls);
    const limits = limitsOf(options);
    const terms = { options, limits, budget: new ByteBudget(limits.maximumTotalBytesInFlight) };
    const sessions = new Map<Session, Promise<void>>();
    let count = 0;
    const listener = await listenOn({ ...options, halfOpen: true }, (socket) => {
      if (sessions.size >= limits.maximumConnections) {
        socket.destroy();
        return;
      }
      const session = new Session(socket, count, terms);
      count += 1;
      sessions.set(
        session,
        session.run().finally(() => sessions.delete(session)),
      );
    });
    return new NbdServer(listener, sessions, limits);
  }

  /** Where it listens, with the port that it got. */
  get address(): NbdAddress {
    return this.#listener.address;
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#sessions.size;
  }

  /**
   * Takes no more connections and requests, lets what was begun finish, and cuts what is not done within
   * `closeTimeoutMs`. Every export is closed when it settles, unless one takes longer than that even when aborted.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { server } = this.#listener;
    const closed = once(server, 'close');
    server.close();
    for (const session of this.#sessions.keys()) session.stop();
    if (!(await this.#ended())) {
      for (const session of this.#sessions.keys()) session.destroy();
      await this.#ended();
    }
    await closed;
    await this.#listener.release();
  }

  /** Whether all sessions end within the time that closing may take. */
  async #ended(): Promise<boolean> {
    const enough = new AbortController();
    const late = sleep(this.#limits.closeTimeoutMs, false, { signal: enough.signal }).catch(() => false);
    const all = Promise.all(this.#sessions.values()).then(() => true);
    try {
      return await Promise.race([all, late]);
    } finally {
      enough.abort();
    }
  }
}
