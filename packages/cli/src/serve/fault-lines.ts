import type { NbdServerConnection, ServedDisk } from '@vbackup/core';
import { failureOf } from '../failure.js';
import type { Output } from '../output/output.js';

/** So many different faults are told; a client that tries a damaged range again and again makes one. */
const LIMIT = 100;
/** A client that left, or that is not waited for any more, is no fault. */
const NO_FAULTS: readonly string[] = ['VB_ABORTED', 'VB_NBD_SERVER_PEER_GONE'];

/** Tells what went wrong with which disk or client, each once, and not without bound. */
export class FaultLines {
  readonly #output: Output;
  readonly #told = new Set<string>();

  constructor(output: Output) {
    this.#output = output;
  }

  /** For `onFault` of a server. */
  readonly disk = (error: unknown, { name }: ServedDisk): void => {
    const failure = failureOf(error);
    if (this.#isNew(failure.code, `${name} ${failure.message}`)) this.#output.error(failure, name);
  };

  /** For `onConnectionError` of a server. */
  readonly connection = (error: unknown, { remote }: NbdServerConnection): void => {
    const { code, message } = failureOf(error);
    // Of a network anyone may come from any port: one line for each host.
    const client = remote?.replace(/:\d+$/, '') ?? 'a client';
    if (this.#isNew(code, `${client} ${message}`)) this.#output.warning(code, `${client}: ${message}`);
  };

  #isNew(code: string, text: string): boolean {
    if (NO_FAULTS.includes(code) || this.#told.has(text) || this.#told.size > LIMIT) return false;
    this.#told.add(text);
    if (this.#told.size <= LIMIT) return true;
    this.#output.warning(code, `more than ${LIMIT} different faults: further ones are not shown`);
    return false;
  }
}
