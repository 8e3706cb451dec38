import { authentication, type Credentials } from './authentication.js';
import { backupCalls } from './backup-calls.js';
import { checkpointCalls } from './checkpoint-calls.js';
import { domainCalls } from './domain-calls.js';
import { type EventSink, subscribe } from './domain-events.js';
import { EventLoop } from './event-loop.js';
import { guestCalls } from './guest-calls.js';
import type { Handler } from './handler.js';
import { hostCalls } from './host-calls.js';
import { loadLibrary } from './library.js';
import { monitorCalls } from './monitor-calls.js';
import { lastError, NativeCallError, Session } from './session.js';

export interface ConnectOptions extends Credentials {
  readonly uri: string;
  readonly readOnly?: boolean | undefined;
  readonly library?: string | undefined;
}

const CALLS = [hostCalls, domainCalls, backupCalls, checkpointCalls, guestCalls, monitorCalls];

/** VIR_CONNECT_RO */
const READ_ONLY = 1;
/** A peer that says nothing for interval × (count + 1) seconds is gone. */
const KEEP_ALIVE_SECONDS = 5;
const KEEP_ALIVE_COUNT = 5;

/** An open connection: what answers the calls on it, and how it ends. */
export interface Connected {
  readonly handlers: readonly Handler[];
  /** @returns how often libvirt still refers to the connection: 0, if every object was freed */
  close(): number;
  /** Handles and timers that libvirt holds. */
  pending(): number;
}

/**
 * Connects; once in the life of a process, because libvirt keeps its event loop for ever.
 * @throws LibraryError, NativeCallError
 */
export function connect(options: ConnectOptions, sink: EventSink): Connected {
  const library = loadLibrary(options.library);
  if (library.initialize() < 0) throw new NativeCallError(lastError(library), false);
  const loop = new EventLoop();
  loop.install(library);
  const connection = library.connectOpen(
    options.uri,
    authentication(options),
    options.readOnly === true ? READ_ONLY : 0,
  );
  if (connection === null) throw new NativeCallError(lastError(library), false);
  // Drivers inside the library (test:///default) have no peer that could be asked.
  library.connectSetKeepAlive(connection, KEEP_ALIVE_SECONDS, KEEP_ALIVE_COUNT);
  const session = new Session(library, connection);
  const unsubscribe = subscribe(session, sink);
  return {
    handlers: CALLS.flatMap((each) => each(session)),
    close: () => {
      unsubscribe();
      return library.connectClose(connection);
    },
    pending: () => loop.size,
  };
}
