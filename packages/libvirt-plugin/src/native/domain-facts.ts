import { DOMAIN_STATES, type DomainFacts, PAUSED_REASONS, type PausedReason } from '../connection/index.js';
import { IntOut, type Pointer } from './memory.js';
import { NativeCallError, type Session } from './session.js';

/** VIR_UUID_STRING_BUFLEN */
const UUID_TEXT_LENGTH = 37;
const VIR_DOMAIN_PAUSED = 3;
const VIR_DOMAIN_SHUTOFF = 5;
const VIR_DOMAIN_SHUTOFF_FAILED = 6;
const VIR_ERR_NO_DOMAIN = 42;

/** What virConnectListAllDomains can be asked for. */
const LIST = { active: 1, persistent: 4, running: 16, shutOff: 64, autostart: 1024 } as const;

export interface DomainName {
  readonly domain: string;
  readonly name: string;
}

/** Known to the object itself: nobody is asked. */
export function nameOf(session: Session, domain: Pointer): DomainName {
  const { library } = session;
  const text = Buffer.alloc(UUID_TEXT_LENGTH);
  session.check(library.domainUuid(domain, text));
  return {
    domain: text.toString('latin1', 0, UUID_TEXT_LENGTH - 1),
    name: session.present(library.domainName(domain)),
  };
}

export function domainFacts(session: Session, domain: Pointer): DomainFacts {
  const { library } = session;
  const persistent = session.check(library.domainIsPersistent(domain)) === 1;
  const autostart = new IntOut();
  if (persistent) session.check(library.domainGetAutostart(domain, autostart.place));
  return {
    ...identity(nameOf(session, domain)),
    ...stateOf(session, domain),
    active: session.check(library.domainIsActive(domain)) === 1,
    persistent,
    autostart: autostart.value === 1,
  };
}

/**
 * All domains, with a number of questions that does not grow with them: one list per property. Only those that neither run
 * nor are off are asked for their state.
 */
export function allDomainFacts(session: Session): DomainFacts[] {
  const [active, persistent, running, shutOff, autostart] = [
    uuidsWith(session, LIST.active),
    uuidsWith(session, LIST.persistent),
    uuidsWith(session, LIST.running),
    uuidsWith(session, LIST.shutOff),
    uuidsWith(session, LIST.autostart),
  ];
  const facts = list(session, 0, (domain): DomainFacts[] => {
    const who = identity(nameOf(session, domain));
    const state = running.has(who.uuid)
      ? ({ state: 'running', pausedReason: null, startFailed: null } as const)
      : shutOff.has(who.uuid)
        ? ({ state: 'shut-off', pausedReason: null, startFailed: null } as const)
        : stateUnlessGone(session, domain);
    if (state === null) return [];
    const { uuid } = who;
    return [
      { ...who, ...state, active: active.has(uuid), persistent: persistent.has(uuid), autostart: autostart.has(uuid) },
    ];
  });
  return facts.flat();
}

const identity = ({ domain, name }: DomainName): { readonly uuid: string; readonly name: string } => ({
  uuid: domain,
  name,
});

function list<T>(session: Session, flags: number, map: (domain: Pointer) => T): T[] {
  const { library, connection } = session;
  return session.mapAll({
    fill: (place) => library.connectListAllDomains(connection, place, flags),
    map,
    release: (domain) => library.domainFree(domain),
  });
}

const uuidsWith = (session: Session, flags: number): ReadonlySet<string> =>
  new Set(list(session, flags, (domain) => nameOf(session, domain).domain));

function stateOf(session: Session, domain: Pointer): Pick<DomainFacts, 'state' | 'pausedReason' | 'startFailed'> {
  const [state, reason] = [new IntOut(), new IntOut()];
  session.check(session.library.domainState(domain, state.place, reason.place, 0));
  return {
    state: DOMAIN_STATES[state.value] ?? 'unknown',
    pausedReason: state.value === VIR_DOMAIN_PAUSED ? pausedReason(reason.value) : null,
    startFailed: state.value === VIR_DOMAIN_SHUTOFF && reason.value === VIR_DOMAIN_SHUTOFF_FAILED,
  };
}

/** A transient domain may end between the list and the question. */
function stateUnlessGone(session: Session, domain: Pointer): ReturnType<typeof stateOf> | null {
  try {
    return stateOf(session, domain);
  } catch (error) {
    if (error instanceof NativeCallError && error.native.code === VIR_ERR_NO_DOMAIN) return null;
    throw error;
  }
}

const pausedReason = (value: number): PausedReason => PAUSED_REASONS[value] ?? 'unknown';
