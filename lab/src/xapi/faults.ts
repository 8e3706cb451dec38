import type { XapiNbdFault, XapiNbdIdentity, XapiNbdRead } from '../xapi-nbd/index.js';

/** What goes wrong with calls of one method, named without `Async.`. */
export interface CallFault {
  readonly method: string;
  /** Default: every time. */
  readonly times?: number;
  /** Lets so many calls pass before. */
  readonly after?: number;
  /** Code and parameters of the failure; inside the task when the call is asynchronous. */
  readonly error?: readonly [code: string, ...params: string[]];
  /** Cuts the connection, before the call does its work or after it, when only the answer is lost. */
  readonly drop?: 'before' | 'after';
  /** Answers later; `Infinity`: never. */
  readonly delayMs?: number;
}

/** How a task of an `Async.` call or of an HTTP handler (`import_raw_vdi`, `export_raw_vdi`) ends instead. */
export interface TaskFault {
  readonly name: string;
  readonly outcome: 'stuck' | 'cancelled' | readonly [code: string, ...params: string[]];
  readonly times?: number;
}

/** What goes wrong with NBD. */
export interface NbdFaults {
  /** Decides over every read; see {@link cutAfterReads}. */
  onRead: ((read: XapiNbdRead) => XapiNbdFault | undefined) | undefined;
  /** A certificate and key that the NBD server shows instead of the host's. */
  identity: XapiNbdIdentity | undefined;
  /** Addresses that `get_nbd_info` names first, and where nothing listens. */
  deadAddresses: readonly string[];
  /** How long the dom0 VBD stays after the client left. */
  unplugDelayMs: number;
}

/** Cuts up to `times` connections in the middle of the read number `reads + 1` of each. */
export function cutAfterReads(reads: number, times = 1): (read: XapiNbdRead) => XapiNbdFault | undefined {
  let left = times;
  return ({ readIndex, length }) => {
    if (readIndex < reads || left <= 0) return undefined;
    left -= 1;
    return { kind: 'cut', afterBytes: Math.floor(length / 2) };
  };
}

const UNPLUG_DELAY_MS = 20;

interface Counted<Fault> {
  readonly fault: Fault;
  left: number;
  skip: number;
}

/** Everything that can be made to go wrong, from then on, until `clear`. */
export class Faults {
  readonly nbd: NbdFaults = noNbdFaults();
  /** Methods that this host is too old for, e.g. `VDI.get_nbd_info`. */
  readonly missingMethods = new Set<string>();
  /** What an old host says at `/jsonrpc`: nothing there, an error, or XML. */
  jsonRpc: 'works' | 404 | 500 | 'xml' = 'works';
  /** false: `VDI.enable_cbt` needs a licence that is not there. */
  cbtLicensed = true;
  /** The storage manager cannot make the new log at a snapshot: tracking ends, xapi says so in a message only. */
  snapshotEndsTracking = false;
  /** Where the raw VDI handlers send the client (302), e.g. the address of a pool member. */
  redirect: string | undefined;
  /** The answer to `export_raw_vdi` starts with 200 and then holds a whole `HTTP/1.1 500` (xen-api #4603). */
  exportBreaks = false;
  readonly #calls: Counted<CallFault>[] = [];
  readonly #tasks: Counted<TaskFault>[] = [];

  call(fault: CallFault): void {
    this.#calls.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY, skip: fault.after ?? 0 });
  }

  task(fault: TaskFault): void {
    this.#tasks.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY, skip: 0 });
  }

  /** Takes the next fault of the method that concerns the wire (drop, delay) or the work (error). */
  takeCall(method: string, part: 'wire' | 'work'): CallFault | undefined {
    return take(
      this.#calls,
      ({ method: name, error }) => name === method && (error !== undefined) === (part === 'work'),
    );
  }

  takeTask(name: string): TaskFault | undefined {
    return take(this.#tasks, (fault) => fault.name === name);
  }

  clear(): void {
    this.#calls.length = 0;
    this.#tasks.length = 0;
    this.missingMethods.clear();
    this.jsonRpc = 'works';
    this.cbtLicensed = true;
    this.snapshotEndsTracking = false;
    this.redirect = undefined;
    this.exportBreaks = false;
    Object.assign(this.nbd, noNbdFaults());
  }
}

function noNbdFaults(): NbdFaults {
  return { onRead: undefined, identity: undefined, deadAddresses: [], unplugDelayMs: UNPLUG_DELAY_MS };
}

function take<Fault>(all: readonly Counted<Fault>[], matches: (fault: Fault) => boolean): Fault | undefined {
  for (const entry of all) {
    if (entry.left <= 0 || !matches(entry.fault)) continue;
    if (entry.skip > 0) {
      entry.skip -= 1;
      return undefined;
    }
    entry.left -= 1;
    return entry.fault;
  }
  return undefined;
}
