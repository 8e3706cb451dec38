import type { HostFacts } from '../connection/index.js';
import { calls } from '../wire/index.js';
import { type Handler, handle } from './handler.js';
import type { Session } from './session.js';

export function hostCalls(session: Session): readonly Handler[] {
  const { library, connection } = session;
  return [
    handle(calls.host, () => hostFacts(session)),
    handle(calls.domainCapabilities, () =>
      session.present(library.connectDomainCapabilities(connection, null, null, null, null, 0)),
    ),
  ];
}

function hostFacts(session: Session): HostFacts {
  const { library, connection } = session;
  return {
    hostname: session.present(library.connectHostname(connection)),
    uri: session.present(library.connectUri(connection)),
    driver: session.present(library.connectType(connection)),
    libraryVersion: version(session, (place) => library.version(place, null, null)),
    daemonVersion: version(session, (place) => library.connectLibraryVersion(connection, place)),
    hypervisorVersion: version(session, (place) => library.connectVersion(connection, place)),
  };
}

function version(session: Session, ask: (place: Buffer) => number): number {
  const place = Buffer.alloc(8);
  session.check(ask(place));
  return Number(place.readBigUInt64LE());
}
