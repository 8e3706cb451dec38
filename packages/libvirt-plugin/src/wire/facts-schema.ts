import { z } from 'zod';
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

export const Text = z.string().max(MAXIMUM_TEXT_LENGTH);
export const Name = z.string().max(MAXIMUM_NAME_LENGTH);
export const Uuid = z.string().regex(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
const Bytes = z.number().int().nonnegative();

/** At most {@link MAXIMUM_ITEMS} of them. */
export const listOf = <T>(item: z.ZodType<T>): z.ZodType<T[]> => z.array(item).max(MAXIMUM_ITEMS);

export const DomainSchema: z.ZodType<DomainFacts> = z.object({
  uuid: Uuid,
  name: Name,
  state: z.enum([...DOMAIN_STATES, 'unknown']),
  pausedReason: z.enum(PAUSED_REASONS).nullable(),
  startFailed: z.boolean().nullable(),
  active: z.boolean(),
  persistent: z.boolean(),
  autostart: z.boolean(),
});

export const HostSchema: z.ZodType<HostFacts> = z.object({
  hostname: Name,
  uri: Name,
  driver: Name,
  libraryVersion: Bytes,
  daemonVersion: Bytes,
  hypervisorVersion: Bytes,
});

export const BlockSchema: z.ZodType<BlockFacts> = z.object({ capacity: Bytes, allocation: Bytes, physical: Bytes });

export const DiskErrorSchema: z.ZodType<DiskError> = z.object({
  disk: Name,
  error: z.enum(['unspecified', 'no-space']),
});

export const JobSchema: z.ZodType<JobFacts> = z.object({
  state: z.enum([...JOB_STATES, 'unknown']),
  operation: z.enum(JOB_OPERATIONS),
  success: z.boolean().nullable(),
  message: Text.nullable(),
  scratchUsed: Bytes.nullable(),
  scratchTotal: Bytes.nullable(),
});

export const CheckpointSchema: z.ZodType<CheckpointFacts> = z.object({ name: Name, parent: Name.nullable() });

export const FileSystemSchema: z.ZodType<FileSystemFacts> = z.object({
  mountpoint: Name,
  device: Name,
  type: Name,
  disks: listOf(Name),
});

const about = { domain: Uuid, name: Name };

export const EventSchema: z.ZodType<LibvirtEvent> = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('lifecycle'),
    ...about,
    change: z.enum([...LIFECYCLE_EVENTS, 'unknown']),
    detail: z.number().int(),
    ioError: z.boolean(),
  }),
  z.object({ kind: z.literal('job-completed'), ...about, job: JobSchema }),
  z.object({
    kind: z.literal('io-error'),
    ...about,
    path: Name,
    alias: Name,
    action: z.enum(['none', 'pause', 'report', 'unknown']),
    reason: Name,
  }),
  z.object({ kind: z.literal('agent'), ...about, connected: z.boolean() }),
]);
