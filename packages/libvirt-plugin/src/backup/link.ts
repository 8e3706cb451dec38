import type { LibvirtConnection } from '../connection/index.js';

/**
 * The connection to libvirt, made anew where it was lost: the daemon may be restarted while a backup is read, and its jobs
 * and domains live on.
 */
export class LibvirtLink implements AsyncDisposable {
  readonly #open: () => Promise<LibvirtConnection>;
  #current: Promise<LibvirtConnection>;

  /** @param open - also makes the later connections */
  constructor(open: () => Promise<LibvirtConnection>, first: LibvirtConnection) {
    this.#open = open;
    this.#current = Promise.resolve(first);
  }

  /** @throws what opening a connection throws; the next call tries again */
  async get(): Promise<LibvirtConnection> {
    const current = this.#current;
    const connection = await current.catch(() => null);
    if (connection !== null && !connection.lost.aborted) return connection;
    // Of several who notice, one opens.
    if (this.#current === current) this.#current = this.#reopen(connection);
    return this.#current;
  }

  async #reopen(lost: LibvirtConnection | null): Promise<LibvirtConnection> {
    await lost?.[Symbol.asyncDispose]();
    return this.#open();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const connection = await this.#current.catch(() => null);
    await connection?.[Symbol.asyncDispose]();
  }
}
