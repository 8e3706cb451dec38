import type { Checkpoint, FullReason } from '../hypervisor/index.js';

export type BackupLevel = 'full' | 'inc' | 'diff' | 'copy';
export type RequestedLevel = 'auto' | BackupLevel;
export type Compression = 'lz4' | 'none';

/** What one backup is: written last, and by rename, so that a backup without a manifest does not exist. */
export interface Manifest {
  readonly format: 'vbackup-manifest';
  readonly version: 1;
  /** 16 random lower-case hex digits. */
  readonly id: string;
  /** UTC, ISO 8601, when the disks were frozen. For people and for `@<time>`; the order of backups is by `parent` and `after`. */
  readonly time: string;
  readonly level: BackupLevel;
  /** Why a full was made; absent for increments. */
  readonly reason?: FullReason | undefined;
  readonly parent: string | null;
  /** The guest's newest backup when this one was made, whatever the clock said; absent for its first. */
  readonly after?: string | undefined;
  /** The folder of the chain, relative to the repository. */
  readonly chain: string;
  /** `virtnbdbackup.N`, the name in the peer's files (specs: SparseStream META `checkpointName`). */
  readonly checkpointName: string;
  readonly hypervisor: string;
  readonly guest: { readonly id: string; readonly name: string; readonly kind: 'machine' | 'disk' };
  /** What an increment on this backup passes to the plugin; null if none can stand on it. */
  readonly checkpoint: Checkpoint | null;
  readonly compression: Compression;
  readonly disks: readonly ManifestDisk[];
  /** Every file of this backup, the disks' included, except the manifest itself; paths relative to the chain. */
  readonly files: readonly ManifestFile[];
  readonly tool: { readonly name: 'vbackup'; readonly version: string };
}

export interface ManifestDisk {
  readonly name: string;
  readonly id: string;
  readonly label: string;
  readonly size: number;
  readonly level: BackupLevel;
  readonly reason?: FullReason | undefined;
  readonly detail?: string | undefined;
  /** How the changes were found: `cbt`, `digests`, …, or `all` where everything was read. */
  readonly method: string;
  /** What of the bytes called unchanged was read and compared all the same. */
  readonly audit?: ManifestAudit | undefined;
  /** The SparseStream file and its index, relative to the chain. */
  readonly file: string;
  readonly index: string;
  /** Bytes of the disk that were read, that are stored as data, and that the file takes. */
  readonly readLength: number;
  readonly dataLength: number;
  readonly storedLength: number;
}

/** One of `shares` equal shares of the disk was audited: number `share`, counted from 0. */
export interface ManifestAudit {
  readonly shares: number;
  readonly share: number;
  /** Bytes that were compared. */
  readonly length: number;
}

export interface ManifestFile {
  readonly path: string;
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}
