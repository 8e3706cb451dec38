/** virDomainState. */
export const DOMAIN_STATES = [
  'no-state',
  'running',
  'blocked',
  'paused',
  'shutting-down',
  'shut-off',
  'crashed',
  'pm-suspended',
] as const;
export type DomainState = (typeof DOMAIN_STATES)[number] | 'unknown';

/** virDomainPausedReason. */
export const PAUSED_REASONS = [
  'unknown',
  'user',
  'migration',
  'save',
  'dump',
  'io-error',
  'watchdog',
  'from-snapshot',
  'shutting-down',
  'snapshot',
  'crashed',
  'starting-up',
  'postcopy',
  'postcopy-failed',
] as const;
export type PausedReason = (typeof PAUSED_REASONS)[number];

export interface DomainFacts {
  readonly uuid: string;
  readonly name: string;
  readonly state: DomainState;
  /** Why it is paused; null in every other state. */
  readonly pausedReason: PausedReason | null;
  /** It is off because its last start failed; null where a list did not ask. */
  readonly startFailed: boolean | null;
  /** It has a QEMU process: true for paused domains too. */
  readonly active: boolean;
  /** It is defined, and stays so when it stops. */
  readonly persistent: boolean;
  readonly autostart: boolean;
}

export interface HostFacts {
  readonly hostname: string;
  /** As the daemon names itself. */
  readonly uri: string;
  /** The driver's name, e.g. `QEMU`. */
  readonly driver: string;
  readonly libraryVersion: Version;
  readonly daemonVersion: Version;
  /** QEMU's. */
  readonly hypervisorVersion: Version;
}

/** major × 1,000,000 + minor × 1,000 + release, as libvirt counts: 9.0.0 is 9000000. */
export type Version = number;

/** In bytes. */
export interface BlockFacts {
  /** What the guest sees. */
  readonly capacity: number;
  readonly allocation: number;
  /** Of the file or device on the host. */
  readonly physical: number;
}

export interface DiskError {
  readonly disk: string;
  readonly error: 'unspecified' | 'no-space';
}

/** virDomainJobType. */
export const JOB_STATES = ['none', 'bounded', 'unbounded', 'completed', 'failed', 'cancelled'] as const;
export type JobState = (typeof JOB_STATES)[number] | 'unknown';

/** virDomainJobOperation. */
export const JOB_OPERATIONS = [
  'unknown',
  'start',
  'save',
  'restore',
  'migration-in',
  'migration-out',
  'snapshot',
  'snapshot-revert',
  'dump',
  'backup',
  'snapshot-delete',
] as const;
export type JobOperation = (typeof JOB_OPERATIONS)[number];

export interface JobFacts {
  /** `bounded` and `unbounded` run. A job that was asked for as `completed` and is not known is `none`. */
  readonly state: JobState;
  readonly operation: JobOperation;
  /** Only of jobs that ended. */
  readonly success: boolean | null;
  readonly message: string | null;
  /** Bytes of the scratch files that are in use; null if libvirt does not say. */
  readonly scratchUsed: number | null;
  readonly scratchTotal: number | null;
}

export interface CheckpointFacts {
  readonly name: string;
  /** Null for the oldest one. */
  readonly parent: string | null;
}

export interface FileSystemFacts {
  readonly mountpoint: string;
  /** The device's name in the guest. */
  readonly device: string;
  readonly type: string;
  /** Target names of the disks below it. */
  readonly disks: readonly string[];
}
