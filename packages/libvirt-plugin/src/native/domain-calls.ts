import type { BlockFacts, DiskError } from '../connection/index.js';
import { calls } from '../wire/index.js';
import { allDomainFacts, domainFacts } from './domain-facts.js';
import { flagWord } from './flags.js';
import { type Handler, handle, perform } from './handler.js';
import { free, POINTER_LENGTH, textAt } from './memory.js';
import type { Session } from './session.js';

/** virDomainBlockInfo: capacity, allocation, physical, 64 bits each. */
const BLOCK_INFO_LENGTH = 24;
/** virDomainDiskError: `char *disk`, `int error`. */
const DISK_ERROR_LENGTH = 16;
const VIR_DOMAIN_DISK_ERROR_NO_SPACE = 2;

/** Domains as such: what they are, and their life. */
export function domainCalls(session: Session): readonly Handler[] {
  const { library, connection } = session;
  return [
    handle(calls.listDomains, () => allDomainFacts(session)),
    handle(calls.findDomain, (selector) => {
      const found =
        'name' in selector
          ? library.domainLookupByName(connection, selector.name)
          : library.domainLookupByUuid(connection, selector.uuid);
      return session.usingDomain(found, (domain) => domainFacts(session, domain));
    }),
    handle(calls.domainXml, ({ domain, secure, inactive }) =>
      session.withDomain(domain, (each) =>
        session.present(library.domainXml(each, flagWord([1, secure], [2, inactive]))),
      ),
    ),
    handle(calls.defineDomain, ({ xml }) =>
      session.usingDomain(library.domainDefine(connection, xml, 0), (domain) => domainFacts(session, domain)),
    ),
    handle(calls.createTransientDomain, ({ xml, paused }) =>
      session.usingDomain(library.domainCreateXml(connection, xml, flagWord([1, paused])), (domain) =>
        domainFacts(session, domain),
      ),
    ),
    perform(calls.undefineDomain, ({ domain, managedSave, nvram, checkpointsMetadata }) => {
      const flags = flagWord(
        [1, managedSave],
        [4, nvram === 'remove'],
        [8, nvram === 'keep'],
        [16, checkpointsMetadata],
      );
      session.withDomain(domain, (each) => session.check(library.domainUndefine(each, flags)));
    }),
    perform(calls.startDomain, ({ domain, paused }) => {
      session.withDomain(domain, (each) => session.check(library.domainCreate(each, flagWord([1, paused]))));
    }),
    perform(calls.suspendDomain, ({ domain }) => {
      session.withDomain(domain, (each) => session.check(library.domainSuspend(each)));
    }),
    perform(calls.resumeDomain, ({ domain }) => {
      session.withDomain(domain, (each) => session.check(library.domainResume(each)));
    }),
    perform(calls.shutdownDomain, ({ domain, mode }) => {
      const flags = flagWord([1, mode === 'acpi'], [2, mode === 'agent']);
      session.withDomain(domain, (each) => session.check(library.domainShutdown(each, flags)));
    }),
    perform(calls.destroyDomain, ({ domain, graceful }) => {
      session.withDomain(domain, (each) => session.check(library.domainDestroy(each, flagWord([1, graceful]))));
    }),
    perform(calls.setAutostart, ({ domain, autostart }) => {
      session.withDomain(domain, (each) => session.check(library.domainSetAutostart(each, autostart ? 1 : 0)));
    }),
    handle(calls.hasManagedSave, ({ domain }) =>
      session.withDomain(domain, (each) => session.check(library.domainHasManagedSave(each, 0)) === 1),
    ),
    handle(calls.blockFacts, ({ domain, disk }) => blockFacts(session, domain, disk)),
    handle(calls.diskErrors, ({ domain }) => diskErrors(session, domain)),
  ];
}

function blockFacts(session: Session, uuid: string, disk: string): BlockFacts {
  const info = Buffer.alloc(BLOCK_INFO_LENGTH);
  session.withDomain(uuid, (domain) => session.check(session.library.domainBlockInfo(domain, disk, info, 0)));
  const word = (index: number): number => Number(info.readBigUInt64LE(index * 8));
  return { capacity: word(0), allocation: word(1), physical: word(2) };
}

function diskErrors(session: Session, uuid: string): DiskError[] {
  const { library } = session;
  return session.withDomain(uuid, (domain) => {
    const maximum = session.check(library.domainDiskErrors(domain, null, 0, 0));
    if (maximum === 0) return [];
    const errors = Buffer.alloc(maximum * DISK_ERROR_LENGTH);
    const count = session.check(library.domainDiskErrors(domain, errors, maximum, 0));
    return Array.from({ length: count }, (_, index): DiskError => {
      const offset = index * DISK_ERROR_LENGTH;
      const name = errors.readBigUInt64LE(offset);
      const disk = textAt(name);
      free(name);
      const noSpace = errors.readInt32LE(offset + POINTER_LENGTH) === VIR_DOMAIN_DISK_ERROR_NO_SPACE;
      return { disk, error: noSpace ? 'no-space' : 'unspecified' };
    });
  });
}
