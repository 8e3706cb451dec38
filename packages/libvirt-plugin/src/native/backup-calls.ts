import type { JobFacts } from '../connection/index.js';
import { calls } from '../wire/index.js';
import { flagWord } from './flags.js';
import { type Handler, handle, perform } from './handler.js';
import { jobFacts } from './job-facts.js';
import { bytesAt, IntOut, PointerOut, textAt } from './memory.js';
import { NativeCallError, type Session } from './session.js';
import { decodeTypedParameters, TYPED_PARAMETER_LENGTH } from './typed-parameters.js';

const VIR_ERR_NO_DOMAIN_BACKUP = 104;
/** VIR_DOMAIN_JOB_STATS_COMPLETED and …_KEEP_COMPLETED: looking must not make it forgotten. */
const COMPLETED_AND_KEEP = 3;

/** Backup jobs. */
export function backupCalls(session: Session): readonly Handler[] {
  const { library } = session;
  return [
    perform(calls.beginBackup, ({ domain, xml, checkpointXml, reuseExternal }) => {
      const flags = flagWord([1, reuseExternal]);
      session.withDomain(domain, (each) =>
        session.check(library.domainBackupBegin(each, xml, checkpointXml ?? null, flags)),
      );
    }),
    handle(calls.backupXml, ({ domain }) => session.withDomain(domain, (each) => xmlOrNull(session, each))),
    handle(calls.jobFacts, ({ domain, completed }) =>
      session.withDomain(domain, (each) => factsOfJob(session, each, completed === true)),
    ),
    perform(calls.abortJob, ({ domain }) => {
      session.withDomain(domain, (each) => session.check(library.domainAbortJob(each)));
    }),
  ];
}

function xmlOrNull(session: Session, domain: bigint): string | null {
  try {
    return session.present(session.library.domainBackupXml(domain, 0));
  } catch (error) {
    if (error instanceof NativeCallError && error.native.code === VIR_ERR_NO_DOMAIN_BACKUP) return null;
    throw error;
  }
}

function factsOfJob(session: Session, domain: bigint, completed: boolean): JobFacts {
  const { library } = session;
  const [type, parameters, count] = [new IntOut(), new PointerOut(), new IntOut()];
  const flags = completed ? COMPLETED_AND_KEEP : 0;
  session.check(library.domainJobStats(domain, type.place, parameters.place, count.place, flags));
  if (parameters.pointer === 0n) return jobFacts(type.value, new Map());
  try {
    const bytes = bytesAt(parameters.pointer, count.value * TYPED_PARAMETER_LENGTH);
    return jobFacts(type.value, decodeTypedParameters(bytes, textAt));
  } finally {
    library.typedParametersFree(parameters.pointer, count.value);
  }
}
