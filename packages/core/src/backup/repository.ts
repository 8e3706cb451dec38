import type { Checkpoint, ConfigurationFile, Guest, Journal, Leftover, WithSignal } from '../hypervisor/index.js';
import type { OnEvent } from './events.js';
import type { FrameCache } from './image/frame-cache.js';
import type { ImageReader, ImageWriter } from './image.js';
import type { Compression, Manifest, ManifestDisk } from './manifest.js';

/**
 * Where backups are kept. Chains of SparseStream files are the first implementation; nothing outside it assumes a chain.
 */
export interface Repository {
  /** 16 hex digits, made when the repository was. */
  readonly id: string;
  /** For people: its folder. */
  readonly location: string;
  /** Every backup, oldest first; a damaged manifest is reported, and hides no other backup. */
  catalogue(options?: WithSignal): Promise<Catalogue>;
  /**
   * Takes the guest's place for this process.
   * @throws VBackupError VB_REPOSITORY_LOCKED
   */
  openPlace(key: PlaceKey, options?: WithSignal): Promise<Place>;
  openImage(manifest: Manifest, disk: string, options?: OpenImageOptions): Promise<ImageReader>;
  /** Reads and checks everything that restoring this backup needs of its own files (not its parents'). */
  verify(manifest: Manifest, options: VerifyOptions): Promise<readonly Damage[]>;
}

export interface Catalogue {
  readonly backups: readonly Manifest[];
  readonly damaged: readonly DamagedManifest[];
}

export interface DamagedManifest {
  readonly path: string;
  readonly error: Error;
}

export interface PlaceKey {
  readonly hypervisor: string;
  readonly guestId: string;
}

export interface VerifyOptions extends WithSignal {
  readonly onEvent?: OnEvent | undefined;
}

/** One thing that is wrong with a backup. */
export interface Damage {
  readonly code: string;
  readonly message: string;
  readonly file: string;
  /** Where in the file, in bytes, if known. */
  readonly offset?: number | undefined;
  readonly disk?: string | undefined;
  /** The range of the disk that cannot be trusted, if known. */
  readonly extent?: { readonly offset: number; readonly length: number } | undefined;
}

/** A guest's place in the repository, locked until it is disposed. */
export interface Place extends AsyncDisposable {
  /** The backup that the next increment stands on, or why there is none. */
  readonly tip: Tip;
  /** Every backup of this guest that can be read, oldest first. */
  readonly history: readonly Manifest[];
  /** What a dead run left on the hypervisor; `settle` forgets it. Its files are already gone. */
  readonly leftover: Leftover | null;
  settle(): Promise<void>;
  begin(plan: BackupPlan): Promise<BackupDraft>;
}

export type Tip =
  | { readonly kind: 'none' }
  | { readonly kind: 'broken'; readonly detail: string }
  | {
      readonly kind: 'backup';
      readonly manifest: Manifest;
      readonly checkpoint: Checkpoint | null;
      /** Every name that a disk has or had in the chain: another disk cannot have it there. */
      readonly diskNames: readonly string[];
    };

export interface OpenImageOptions extends WithSignal {
  /** For decoded frames, shared with other images; missing: a small one of its own. */
  readonly cache?: FrameCache | undefined;
}

export interface BackupPlan {
  readonly guest: Guest;
  readonly compression: Compression;
}

/**
 * A backup that does not exist yet. Disposed without `commit`, it leaves no file; its journal stays for the next run
 * unless `close` says that the hypervisor is clean.
 */
export interface BackupDraft extends AsyncDisposable {
  readonly id: string;
  /** For the plugin; open from now until `close`. */
  readonly journal: Journal;
  /** Chooses the place of the files: a new chain, or the tip's. Must come before the first disk. */
  choose(choice: DraftChoice): Promise<void>;
  disk(disk: DraftDisk): Promise<ImageWriter>;
  /** The commit point: durable when it returns. */
  commit(record: CommitRecord): Promise<Manifest>;
  /** Forgets the journal: nothing is left to do on the hypervisor. Without `commit` before, also removes the files. */
  close(): Promise<void>;
}

/** What is known of a backup before its first byte. */
export interface DraftChoice {
  readonly level: Manifest['level'];
  /** When the disks were frozen. */
  readonly time: Date;
  /** Every disk that will come, in order. */
  readonly disks: readonly ChosenDisk[];
  readonly configuration: readonly ConfigurationFile[];
}

export interface ChosenDisk {
  readonly name: string;
  /** For people; may be empty. */
  readonly label: string;
  readonly size: number;
}

export interface DraftDisk {
  readonly name: string;
  readonly id: string;
  readonly label: string;
  readonly size: number;
  readonly level: Manifest['level'];
  /** Bytes that will come as data, zeros of an increment among them, or a guess at it: it saves work if it is true. */
  readonly plannedData?: number | undefined;
  /** Disks that are written at the same time and share the memory. Default 1. */
  readonly disksAtOnce?: number | undefined;
}

export interface CommitRecord {
  readonly checkpoint: Checkpoint | null;
  readonly reason?: Manifest['reason'];
  readonly configuration: readonly ConfigurationFile[];
  readonly disks: readonly Omit<ManifestDisk, 'file' | 'index' | 'dataLength' | 'storedLength'>[];
}
