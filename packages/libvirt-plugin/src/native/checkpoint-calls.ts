import type { CheckpointFacts } from '../connection/index.js';
import { calls } from '../wire/index.js';
import { flagWord } from './flags.js';
import { type Handler, handle, perform } from './handler.js';
import type { Pointer } from './memory.js';
import { NativeCallError, type Session } from './session.js';

const VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL = 2;
const VIR_ERR_NO_DOMAIN_CHECKPOINT = 103;

export function checkpointCalls(session: Session): readonly Handler[] {
  const { library } = session;
  return [
    handle(calls.createCheckpoint, ({ domain, xml, redefine, validate }) =>
      session.withDomain(domain, (each) =>
        session.usingCheckpoint(
          library.checkpointCreate(each, xml, flagWord([1, redefine], [4, validate])),
          (checkpoint) => nameOfCheckpoint(session, checkpoint),
        ),
      ),
    ),
    handle(calls.listCheckpoints, ({ domain }) =>
      session.withDomain(domain, (each) =>
        session.mapAll({
          fill: (place) => library.checkpointListAll(each, place, VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL),
          map: (checkpoint): CheckpointFacts => ({
            name: nameOfCheckpoint(session, checkpoint),
            parent: parentOf(session, checkpoint),
          }),
          release: (checkpoint) => library.checkpointFree(checkpoint),
        }),
      ),
    ),
    handle(calls.checkpointXml, ({ domain, name, withoutDomain, size }) =>
      session.withCheckpoint(domain, name, (checkpoint) =>
        session.present(library.checkpointXml(checkpoint, flagWord([2, withoutDomain], [4, size]))),
      ),
    ),
    perform(calls.deleteCheckpoint, ({ domain, name, metadataOnly }) => {
      session.withCheckpoint(domain, name, (checkpoint) =>
        session.check(library.checkpointDelete(checkpoint, flagWord([2, metadataOnly]))),
      );
    }),
  ];
}

const nameOfCheckpoint = (session: Session, checkpoint: Pointer): string =>
  session.present(session.library.checkpointName(checkpoint));

/** The oldest one has none, which libvirt calls an error. */
function parentOf(session: Session, checkpoint: Pointer): string | null {
  try {
    return session.usingCheckpoint(session.library.checkpointParent(checkpoint, 0), (parent) =>
      nameOfCheckpoint(session, parent),
    );
  } catch (error) {
    if (error instanceof NativeCallError && error.native.code === VIR_ERR_NO_DOMAIN_CHECKPOINT) return null;
    throw error;
  }
}
