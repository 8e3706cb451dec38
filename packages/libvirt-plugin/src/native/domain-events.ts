import { LIFECYCLE_EVENTS, type LibvirtEvent } from '../connection/index.js';
import { nameOf } from './domain-facts.js';
import { register } from './event-loop.js';
import { jobFacts } from './job-facts.js';
import { bytesAt, type Pointer, textAt } from './memory.js';
import type { Session } from './session.js';
import { decodeTypedParameters, TYPED_PARAMETER_LENGTH } from './typed-parameters.js';

/** virDomainEventID */
const EVENT_IDS = { lifecycle: 0, ioError: 6, agent: 18, jobCompleted: 21 } as const;
/** virDomainEventType, virDomainEventSuspendedDetailType */
const VIR_DOMAIN_EVENT_SUSPENDED = 3;
const VIR_DOMAIN_EVENT_SUSPENDED_IOERROR = 2;
/** virConnectDomainEventAgentLifecycleState */
const AGENT_CONNECTED = 1;

const IO_ERROR_ACTIONS = ['none', 'pause', 'report'] as const;
const CLOSE_REASONS = ['error', 'end', 'keepalive', 'client'] as const;
export type CloseReason = (typeof CLOSE_REASONS)[number] | 'unknown';

export interface EventSink {
  event(event: LibvirtEvent): void;
  lost(reason: CloseReason): void;
}

/**
 * Asks for the events of all domains, and for the end of the connection. What a driver does not have, it does not have.
 * @returns what ends it; until then the connection cannot be closed
 */
export function subscribe(session: Session, sink: EventSink): () => void {
  const { library, connection } = session;
  const on = (id: number, callback: Pointer): number =>
    library.connectRegisterDomainEvent(connection, null, id, callback, null, null);
  const ids = [
    on(EVENT_IDS.lifecycle, lifecycle(session, sink)),
    on(EVENT_IDS.ioError, ioError(session, sink)),
    on(EVENT_IDS.agent, agent(session, sink)),
    on(EVENT_IDS.jobCompleted, jobCompleted(session, sink)),
  ];
  const closed = register('void', ['void *', 'int', 'void *'], (_connection: Pointer, reason: number) =>
    sink.lost(CLOSE_REASONS[reason] ?? 'unknown'),
  );
  library.connectRegisterClose(connection, closed, null, null);
  return () => {
    for (const id of ids) if (id >= 0) library.connectDeregisterDomainEvent(connection, id);
    library.connectUnregisterClose(connection, closed);
  };
}

const lifecycle = (session: Session, sink: EventSink): Pointer =>
  register(
    'int',
    ['void *', 'void *', 'int', 'int', 'void *'],
    (_connection: Pointer, domain: Pointer, change: number, detail: number) => {
      sink.event({
        kind: 'lifecycle',
        ...nameOf(session, domain),
        change: LIFECYCLE_EVENTS[change] ?? 'unknown',
        detail,
        ioError: change === VIR_DOMAIN_EVENT_SUSPENDED && detail === VIR_DOMAIN_EVENT_SUSPENDED_IOERROR,
      });
      return 0;
    },
  );

const ioError = (session: Session, sink: EventSink): Pointer =>
  register(
    'void',
    ['void *', 'void *', 'str', 'str', 'int', 'str', 'void *'],
    (
      _connection: Pointer,
      domain: Pointer,
      path: string | null,
      alias: string | null,
      action: number,
      reason: string | null,
    ) =>
      sink.event({
        kind: 'io-error',
        ...nameOf(session, domain),
        path: path ?? '',
        alias: alias ?? '',
        action: IO_ERROR_ACTIONS[action] ?? 'unknown',
        reason: reason ?? '',
      }),
  );

const agent = (session: Session, sink: EventSink): Pointer =>
  register(
    'void',
    ['void *', 'void *', 'int', 'int', 'void *'],
    (_connection: Pointer, domain: Pointer, state: number) =>
      sink.event({ kind: 'agent', ...nameOf(session, domain), connected: state === AGENT_CONNECTED }),
  );

const jobCompleted = (session: Session, sink: EventSink): Pointer =>
  register(
    'void',
    ['void *', 'void *', 'void *', 'int', 'void *'],
    (_connection: Pointer, domain: Pointer, parameters: Pointer | null, count: number) => {
      const bytes = parameters === null ? Buffer.alloc(0) : bytesAt(parameters, count * TYPED_PARAMETER_LENGTH);
      const job = jobFacts(null, decodeTypedParameters(bytes, textAt));
      sink.event({ kind: 'job-completed', ...nameOf(session, domain), job });
    },
  );
