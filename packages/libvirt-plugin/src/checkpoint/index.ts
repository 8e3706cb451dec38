export { checkpointName, isOfRepository, isOurs, makeUlid } from './checkpoint-name.js';
export { checkpointRecord, type LibvirtCheckpoint, parseCheckpointRecord } from './checkpoint-record.js';
export {
  type CheckpointDescription,
  type CheckpointOwner,
  descriptionOf,
  newCheckpointXml,
  parseCheckpointXml,
  partOf,
  redefinitionXml,
} from './checkpoint-xml.js';
