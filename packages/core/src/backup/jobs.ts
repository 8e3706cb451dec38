import type { BlockDevice, Hypervisor, OpenTarget, Warning, WithSignal } from '../hypervisor/index.js';
import type { RateLimiter } from '../pace/index.js';
import type { OnEvent } from './events.js';
import type { Compression, Manifest, RequestedLevel } from './manifest.js';
import type { Damage, Repository } from './repository.js';

/** What `runBackup` needs. */
export interface BackupJob extends WithSignal {
  readonly hypervisor: Hypervisor;
  /** The plugin's name. */
  readonly hypervisorName: string;
  readonly repository: Repository;
  /** As the user wrote it; the plugin knows what it means. */
  readonly selector: string;
  /** Default `auto`. */
  readonly level?: RequestedLevel | undefined;
  /** Default `lz4`. */
  readonly compression?: Compression | undefined;
  /** Connections per disk. Default 2, fewer where the server does not allow them. */
  readonly connections?: number | undefined;
  /** Disks of the guest that are copied at once; they share the memory of one. Default 1. */
  readonly concurrency?: number | undefined;
  /** An increment compares one of so many shares of what is called unchanged, another one each run. Default: none. */
  readonly auditShares?: number | undefined;
  /** What is read from the disks is held to it; default: as fast as it goes. */
  readonly limiter?: RateLimiter | undefined;
  readonly onEvent?: OnEvent | undefined;
}

export interface BackupSummary {
  readonly manifest: Manifest;
  readonly elapsedMs: number;
  readonly warnings: readonly Warning[];
}

export interface RestoreJob extends WithSignal {
  readonly repository: Repository;
  readonly manifest: Manifest;
  /** Name of one of the manifest's disks. */
  readonly disk: string;
  readonly openTarget: OpenTarget;
  /** Disks that are restored at the same time and share the memory, this one included. Default 1. */
  readonly disksAtOnce?: number | undefined;
  readonly onEvent?: OnEvent | undefined;
}

export interface RestoreSummary {
  readonly disk: string;
  readonly size: number;
  /** Bytes written as data. */
  readonly written: number;
  readonly elapsedMs: number;
}

export interface InPlaceJob extends Omit<RestoreJob, 'openTarget'> {
  /** The live disk, of the backup's size or less than a sector longer. The caller opened it, and closes it. */
  readonly device: BlockDevice;
  /** Names the live disk for people: it need not be the one that was backed up. */
  readonly label: string;
}

export interface InPlaceSummary {
  readonly disk: string;
  readonly size: number;
  /** Bytes that differed: they were written, or made zero. */
  readonly written: number;
  readonly elapsedMs: number;
}

export interface VerifyJob extends WithSignal {
  readonly repository: Repository;
  /** Default: every backup. Parents are checked as well, each once. */
  readonly backups?: readonly Manifest[] | undefined;
  readonly onEvent?: OnEvent | undefined;
}

export interface VerifySummary {
  readonly checked: readonly { readonly manifest: Manifest; readonly damage: readonly Damage[] }[];
  /** Manifests that could not be read, and backups whose chain is broken. */
  readonly damage: readonly Damage[];
  readonly elapsedMs: number;
}
