import type { DependencyContainer } from 'tsyringe';
import type { Extent } from '../extent/index.js';
import type { BlockReader, OpenDevice, OpenTarget, WithSignal } from './block-device.js';
import type { MachineRequest, PreparedMachine } from './machine.js';
import type { OptionSchema, OptionValues } from './options.js';

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };
export type JsonObject = { readonly [key: string]: JsonValue };

/** What can be said of a plugin before the rest of it is loaded: enough for the command line and its help. */
export interface PluginDescription {
  /** As in `--hypervisor <name>`; lower-case letters, digits and `-`. */
  readonly name: string;
  /** One sentence for `--help`. */
  readonly description: string;
  /** Become flags (`--xen-url`), environment (`VBACKUP_XEN_URL`) and configuration (`[xen] url`). */
  readonly options: OptionSchema;
}

/** A hypervisor that vbackup can talk to. It has no state: `connect` makes everything. */
export interface HypervisorPlugin extends PluginDescription {
  /** Registers the injectable parts (change tracker, transport), so that a program can replace any of them. */
  register(container: DependencyContainer): void;
  connect(options: OptionValues, context: ConnectContext): Promise<Hypervisor>;
}

export interface ConnectContext extends WithSignal {
  readonly container: DependencyContainer;
  readonly onWarning?: ((warning: Warning) => void) | undefined;
}

/** Something the user should know, that did not stop the work. `code` is stable; `message` is for people. */
export interface Warning {
  readonly code: string;
  readonly message: string;
}

/** A connection to one hypervisor. */
export interface Hypervisor extends AsyncDisposable {
  /** @throws VBackupError VB_GUEST_NOT_FOUND */
  find(selector: string, options?: WithSignal): Promise<Guest>;

  /**
   * Freezes the guest's disks at one instant.
   * Before every side effect on the hypervisor an entry goes to `request.journal`. If it fails, the caller passes these
   * entries to `recover`.
   */
  snapshot(guest: Guest, request: SnapshotRequest, options?: WithSignal): Promise<Snapshot>;

  /**
   * Finishes (`committed`) or undoes what a run that died left on the hypervisor. Idempotent: it may die as well, and
   * what is already gone counts as done.
   */
  recover(leftover: Leftover, options?: WithSignal): Promise<void>;

  /** The target of `restore <backup> <name>:<target>`; missing where this hypervisor cannot be restored to. */
  target?(target: string, options?: WithSignal): Promise<OpenTarget>;

  /**
   * The disks that `restore <backup> <name>:<target> --in-place` changes where they lie, one for each that is asked for and in
   * that order. Missing where that is not possible.
   * @throws if one of them is not there, cannot be written from here, or is in use
   */
  existingDisks?(request: ExistingDisksRequest, options?: WithSignal): Promise<readonly ExistingDisk[]>;

  /**
   * Looks whether a machine can be made again of restored disks, before the first of their bytes is written: that nothing of
   * its name is there, and that no disk would be overwritten that a machine has. Missing where machines cannot be defined.
   */
  prepareMachine?(request: MachineRequest, options?: WithSignal): Promise<PreparedMachine>;

  /** What `doctor` asks: the conditions of a backup, each with its state and cure. */
  diagnose?(options?: WithSignal): AsyncIterable<Diagnosis>;
}

export interface ExistingDisksRequest {
  /** What the user wrote behind `<name>:`, as {@link Hypervisor.find} takes it. */
  readonly target: string;
  /** Disks of the backup, as the plugin named them. Where there is one and the target names one, its name need not be the same. */
  readonly disks: readonly string[];
  /** The guest that was backed up, where this hypervisor has it: disks of another one are refused, and another disk of it. */
  readonly guestId: string | null;
  /** Nothing is refused because it is another guest or disk. */
  readonly force: boolean;
}

export interface ExistingDisk {
  /** For people, e.g. the path of its image. */
  readonly label: string;
  /** All of them are opened before the first is written, and closed after the last. */
  readonly open: OpenDevice;
}

export interface Diagnosis {
  readonly name: string;
  readonly state: 'good' | 'warning' | 'bad';
  readonly detail: string;
  readonly cure?: string | undefined;
}

/** What a selector names. `id` is the hypervisor's own stable identifier and names the place in the repository. */
export interface Guest {
  readonly id: string;
  /** For people; may change between backups. */
  readonly name: string;
  readonly kind: 'machine' | 'disk';
}

/** What a later run passes as `since`; opaque to everyone but its plugin. */
export type Checkpoint = JsonObject;

export interface SnapshotRequest {
  /** Names the backup and the repository: for tags on the hypervisor that let leftovers be found. */
  readonly backupId: string;
  readonly repositoryId: string;
  /** The checkpoint of the backup that an increment would stand on; null for a full backup. */
  readonly since: Checkpoint | null;
  /** Whether a later increment will stand on this snapshot. False for the levels diff and copy: the base stays put. */
  readonly keepCheckpoint: boolean;
  readonly journal: Journal;
}

/** Durable notes of what is about to be done on the hypervisor, for `recover`. */
export interface Journal {
  /** Returns when the entry is on disk. */
  record(entry: JsonObject): Promise<void>;
}

/** What a dead run left: its entries in order, and whether its backup was committed. */
export interface Leftover {
  readonly backupId: string;
  readonly entries: readonly JsonObject[];
  readonly committed: boolean;
}

/**
 * Frozen disks. Disposing releases everything; if `commit` was never called it also removes what was made for this
 * snapshot. After a `commit` that failed it leaves what `recover` needs to finish it.
 */
export interface Snapshot extends AsyncDisposable {
  /** When the disks were frozen. */
  readonly time: Date;
  /** Null if no increment can stand on this snapshot (or none is wanted). */
  readonly checkpoint: Checkpoint | null;
  readonly disks: readonly SnapshotDisk[];
  /** The machine's records, to be saved beside the disks. */
  readonly configuration: readonly ConfigurationFile[];

  /**
   * Called when everything is read and every reader is closed, before the backup is committed: throws if the disks did
   * not stay as they were frozen. Missing where the hypervisor freezes them.
   */
  confirm?(options?: WithSignal): Promise<void>;

  /**
   * Called after the backup is durable, when every reader is closed. Only this may move the base. What it could not do
   * stays in the journal for `recover`; the backup stands all the same.
   */
  commit(options?: WithSignal): Promise<void>;
}

export interface ConfigurationFile {
  /** A file name without a folder, e.g. `vm.json`. */
  readonly name: string;
  readonly content: Buffer;
}

export interface SnapshotDisk {
  /** Names the disk's files: letters, digits, `-` and `_`, unique in the guest, e.g. `xvda`. */
  readonly name: string;
  /** The hypervisor's own stable identifier of the live disk, e.g. the VDI's uuid. */
  readonly id: string;
  /** For people; may be empty. */
  readonly label: string;
  readonly size: number;
  readonly changes: Changes;
  /** Opens the frozen disk; the caller closes it. An audit opens it before the copy does: once more, but never at once. */
  open(options: OpenDiskOptions): Promise<BlockReader>;
}

export interface OpenDiskOptions extends WithSignal {
  /** Connections to the server, where it allows several. */
  readonly connections: number;
}

/** `forgetful` is set where the record is cut off with a disk that is made smaller; it is missing where it never forgets. */
export type Changes =
  /** Everything must be read. `reason` says why, if `since` was given and could not be used. */
  | { readonly kind: 'all'; readonly reason?: FullReason | undefined; readonly detail?: string | undefined }
  /** Only these bytes may differ from `since`: ascending, disjoint, clipped to the size. `method` is for the record. */
  | {
      readonly kind: 'since';
      readonly extents: readonly Extent[];
      readonly method: string;
      readonly forgetful?: ForgetfulRecord | undefined;
    }
  /**
   * Nothing says what changed, or it says too much: these bytes (same promises as above) are read and compared with the
   * backup that `since` belongs to, and only what differs is stored.
   */
  | {
      readonly kind: 'compare';
      readonly extents: readonly Extent[];
      readonly method: string;
      readonly forgetful?: ForgetfulRecord | undefined;
    };

/**
 * A record of changes that is cut off with a disk that is made smaller, as QEMU's dirty bitmaps are: when the disk has grown again,
 * it calls unchanged what was written there before, and what the cut made zero. What was not written since reads as zero then,
 * and the device's allocation says so, but for the blocks in which the disk was cut.
 */
export interface ForgetfulRecord {
  /** Bytes that the disk is allocated in at a time, a power of two: the clusters of its image. */
  readonly blockLength: number;
}

/** Why a full backup was made where an increment might have been expected. Recorded in the manifest; only grows. */
export type FullReason =
  | 'requested'
  | 'first-backup'
  | 'no-change-tracking'
  | 'tracking-just-enabled'
  | 'tracking-lost'
  | 'base-missing'
  | 'base-foreign'
  | 'disk-new'
  | 'disk-shrunk'
  | 'disk-replaced'
  | 'chain-damaged'
  | 'tracking-missed-changes'
  | 'other-disk';

/** Computes what changed between two points in time of a disk. Inject another one to track changes differently. */
export interface ChangeTracker<Base, Point> {
  /** @returns ascending, disjoint extents, clipped to `size`. Unknown is changed. */
  changes(question: { base: Base; point: Point; size: number }, options?: WithSignal): Promise<readonly Extent[]>;
}
