import type { FileSystemFacts } from '../connection/index.js';
import { calls } from '../wire/index.js';
import { type Handler, handle, perform } from './handler.js';
import { bytesAt, type Pointer, pointersAt, textAt } from './memory.js';
import type { Session } from './session.js';

/** virDomainFSInfo: mountpoint, name, type (`char *`), the number of devices, their names (`char **`). */
const FILE_SYSTEM_LENGTH = 40;
/** VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK */
const FOR_EVER = -2;

/** What is asked of the guest's agent. */
export function guestCalls(session: Session): readonly Handler[] {
  const { library } = session;
  return [
    handle(calls.freeze, ({ domain, mountpoints }) =>
      session.withDomain(domain, (each) =>
        session.check(library.domainFreeze(each, mountpoints ?? null, mountpoints?.length ?? 0, 0)),
      ),
    ),
    handle(calls.thaw, ({ domain }) =>
      session.withDomain(domain, (each) => session.check(library.domainThaw(each, null, 0, 0))),
    ),
    handle(calls.fileSystems, ({ domain }) =>
      session.withDomain(domain, (each) =>
        session.mapAll({
          fill: (place) => library.domainFileSystems(each, place, 0),
          map: fileSystemFacts,
          release: (info) => library.fileSystemFree(info),
        }),
      ),
    ),
    perform(calls.setAgentTimeout, ({ domain, seconds }) => {
      session.withDomain(domain, (each) => session.check(library.domainSetAgentTimeout(each, seconds ?? FOR_EVER, 0)));
    }),
  ];
}

function fileSystemFacts(info: Pointer): FileSystemFacts {
  const bytes = bytesAt(info, FILE_SYSTEM_LENGTH);
  const word = (index: number): bigint => bytes.readBigUInt64LE(index * 8);
  const text = (pointer: Pointer): string => (pointer === 0n ? '' : textAt(pointer));
  const disks = pointersAt(word(4), Number(word(3))).map(text);
  return { mountpoint: text(word(0)), device: text(word(1)), type: text(word(2)), disks };
}
