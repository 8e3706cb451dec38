import * as v from 'valibot';
import {
  type BlockFacts,
  type CheckpointFacts,
  type DiskError,
  DOMAIN_STATES,
  type DomainFacts,
  type FileSystemFacts,
  type HostFacts,
  JOB_OPERATIONS,
  JOB_STATES,
  type JobFacts,
  LIFECYCLE_EVENTS,
  type LibvirtEvent,
  PAUSED_REASONS,
} from '../connection/index.js';

/** Definitions of domains are some KiB; nothing that libvirt says is longer than this. */
export const MAXIMUM_TEXT_LENGTH = 16 * 1024 * 1024;
const MAXIMUM_NAME_LENGTH = 4096;
export const MAXIMUM_ITEMS = 100_000;

export const Text = v.pipe(v.string(), v.maxLength(MAXIMUM_TEXT_LENGTH));
export const Name = v.pipe(v.string(), v.maxLength(MAXIMUM_NAME_LENGTH));
export const Uuid = v.pipe(v.string(), v.regex(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/));
const Bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** At most {@link MAXIMUM_ITEMS} of them. */
export const listOf = <T>(item: v.GenericSchema<unknown, T>): v.GenericSchema<unknown, T[]> =>
  v.pipe(v.array(item), v.maxLength(MAXIMUM_ITEMS));

export const DomainSchema: v.GenericSchema<unknown, DomainFacts> = v.object({
  uuid: Uuid,
  name: Name,
  state: v.picklist([...DOMAIN_STATES, 'unknown']),
  pausedReason: v.nullable(v.picklist(PAUSED_REASONS)),
  startFailed: v.nullable(v.boolean()),
  active: v.boolean(),
  persistent: v.boolean(),
  autostart: v.boolean(),
});

export const HostSchema: v.GenericSchema<unknown, HostFacts> = v.object({
  hostname: Name,
  uri: Name,
  driver: Name,
  libraryVersion: Bytes,
  daemonVersion: Bytes,
  hypervisorVersion: Bytes,
});

export const BlockSchema: v.GenericSchema<unknown, BlockFacts> = v.object({
  capacity: Bytes,
  allocation: Bytes,
  physical: Bytes,
});

export const DiskErrorSchema: v.GenericSchema<unknown, DiskError> = v.object({
  disk: Name,
  error: v.picklist(['unspecified', 'no-space']),
});

export const JobSchema: v.GenericSchema<unknown, JobFacts> = v.object({
  state: v.picklist([...JOB_STATES, 'unknown']),
  operation: v.picklist(JOB_OPERATIONS),
  success: v.nullable(v.boolean()),
  message: v.nullable(Text),
  scratchUsed: v.nullable(Bytes),
  scratchTotal: v.nullable(Bytes),
});

export const CheckpointSchema: v.GenericSchema<unknown, CheckpointFacts> = v.object({
  name: Name,
  parent: v.nullable(Name),
});

export const FileSystemSchema: v.GenericSchema<unknown, FileSystemFacts> = v.object({
  mountpoint: Name,
  device: Name,
  type: Name,
  disks: listOf(Name),
});

const about = { domain: Uuid, name: Name };

export const EventSchema: v.GenericSchema<unknown, LibvirtEvent> = v.variant('kind', [
  v.object({
    kind: v.literal('lifecycle'),
    ...about,
    change: v.picklist([...LIFECYCLE_EVENTS, 'unknown']),
    detail: v.pipe(v.number(), v.safeInteger()),
    ioError: v.boolean(),
  }),
  v.object({ kind: v.literal('job-completed'), ...about, job: JobSchema }),
  v.object({
    kind: v.literal('io-error'),
    ...about,
    path: Name,
    alias: Name,
    action: v.picklist(['none', 'pause', 'report', 'unknown']),
    reason: Name,
  }),
  v.object({ kind: v.literal('agent'), ...about, connected: v.boolean() }),
]);
