import type { NativeError } from '../connection/index.js';
import type { Library } from './library.js';
import { free, type Pointer, PointerOut, pointersAt } from './memory.js';

/** libvirt refused a call. */
export class NativeCallError extends Error {
  readonly native: NativeError;
  /** Whether the connection survived it. */
  readonly alive: boolean;

  constructor(native: NativeError, alive: boolean) {
    super(native.message);
    this.native = native;
    this.alive = alive;
  }
}

/** An open connection, and what every call needs: errors read at once, objects freed in every case. */
export class Session {
  readonly library: Library;
  readonly connection: Pointer;

  constructor(library: Library, connection: Pointer) {
    this.library = library;
    this.connection = connection;
  }

  /** The result of a call that gives −1 when it fails. @throws NativeCallError */
  check(result: number): number {
    if (result < 0) throw this.#lastError();
    return result;
  }

  /** The result of a call that gives nothing when it fails. @throws NativeCallError */
  present<T>(result: T | null): T {
    if (result === null) throw this.#lastError();
    return result;
  }

  withDomain<T>(uuid: string, work: (domain: Pointer) => T): T {
    return this.usingDomain(this.library.domainLookupByUuid(this.connection, uuid), work);
  }

  /** Frees the domain when `work` is done. */
  usingDomain<T>(found: Pointer | null, work: (domain: Pointer) => T): T {
    const domain = this.present(found);
    try {
      return work(domain);
    } finally {
      this.library.domainFree(domain);
    }
  }

  withCheckpoint<T>(uuid: string, name: string, work: (checkpoint: Pointer) => T): T {
    return this.withDomain(uuid, (domain) =>
      this.usingCheckpoint(this.library.checkpointLookup(domain, name, 0), work),
    );
  }

  usingCheckpoint<T>(found: Pointer | null, work: (checkpoint: Pointer) => T): T {
    const checkpoint = this.present(found);
    try {
      return work(checkpoint);
    } finally {
      this.library.checkpointFree(checkpoint);
    }
  }

  /** Objects of an array that libvirt made, each freed after its turn, and the array at the end. */
  mapAll<T>(list: {
    readonly fill: (place: Buffer) => number;
    readonly map: (item: Pointer) => T;
    readonly release: (item: Pointer) => void;
  }): T[] {
    const out = new PointerOut();
    const count = this.check(list.fill(out.place));
    const items = pointersAt(out.pointer, count);
    try {
      return items.map((item) => list.map(item));
    } finally {
      for (const item of items) list.release(item);
      if (out.pointer !== 0n) free(out.pointer);
    }
  }

  #lastError(): NativeCallError {
    const native = lastError(this.library);
    return new NativeCallError(native, this.library.connectIsAlive(this.connection) !== 0);
  }
}

/** Of this thread, of the call before: any other call forgets it. */
export function lastError(library: Library): NativeError {
  const code = library.lastErrorCode();
  const domain = library.lastErrorDomain();
  return { code, domain, message: library.lastErrorMessage() ?? 'libvirt does not say why' };
}
