import type { Damage, Diagnosis, Manifest } from '@vbackup/core';
import type { ArchiveItem } from './archive-events.js';
import type { VmaItem } from './vma-events.js';

/** One of two words belongs to a group. */
export type CommandName =
  | 'backup'
  | 'list'
  | 'info'
  | 'verify'
  | 'restore'
  | 'copy'
  | 'map'
  | 'doctor'
  | 'serve'
  | 'mount'
  | 'umount'
  | 'completion'
  | 'vma list'
  | 'vma config'
  | 'vma info'
  | 'vma verify'
  | 'vma extract'
  | 'export'
  | 'import'
  | 'vma create'
  | 'vma repack';

/**
 * Everything that the command tells anyone, in order; docs/json-output.md promises it field by field. Sizes are bytes,
 * durations milliseconds, times UTC in ISO 8601. The last event of a command is its `summary` with scope `run`, or an
 * `error`.
 */
export type OutputEvent = StartEvent | ProgressEvent | WarningEvent | SummaryEvent | ErrorEvent;

export type StartEvent =
  | { readonly type: 'start'; readonly scope: 'run'; readonly command: CommandName; readonly version: string }
  | {
      readonly type: 'start';
      readonly scope: 'item';
      readonly command: CommandName;
      /** The backup's id. */
      readonly id: string;
      readonly guest: string;
    }
  | {
      readonly type: 'start';
      readonly scope: 'disk';
      readonly command: CommandName;
      readonly disk: string;
      readonly size: number;
      readonly level: string;
      readonly reason: string | null;
      readonly detail: string | null;
      readonly planned: number;
    }
  | {
      readonly type: 'start';
      readonly scope: 'audit';
      readonly command: CommandName;
      readonly disk: string;
      /** From 0. */
      readonly share: number;
      readonly shares: number;
      readonly planned: number;
    };

export interface ProgressEvent {
  readonly type: 'progress';
  readonly disk: string;
  /** Of the disk's audit, which comes before the disk itself. */
  readonly audit?: true | undefined;
  readonly done: number;
  readonly planned: number;
  /** Bytes per second over the last seconds. */
  readonly rate: number;
  /** Null while nobody can tell. */
  readonly secondsLeft: number | null;
  /** Present in the last event of the disk, and of its audit. */
  readonly finished?: DiskResult | undefined;
}

export interface DiskResult {
  readonly read: number;
  readonly data: number;
  readonly stored: number;
  readonly elapsedMs: number;
}

export interface WarningEvent {
  readonly type: 'warning';
  readonly code: string;
  readonly message: string;
  readonly disk: string | null;
}

export interface ErrorEvent {
  readonly type: 'error';
  readonly code: string;
  readonly message: string;
  readonly cure: string | null;
  /** The selector, backup or disk whose work failed, where the command goes on with others. */
  readonly subject: string | null;
  readonly exitCode: number;
  /** Only for people who asked for it with -v, and for the log. */
  readonly causes: readonly string[];
  readonly stack: string | null;
}

export type SummaryEvent = ItemSummary | RunSummary;

interface Item {
  readonly type: 'summary';
  readonly scope: 'item';
}

export type ItemSummary = Item &
  (
    | {
        readonly command: 'backup' | 'import';
        readonly backup: Manifest;
        /** The absolute path of its folder, which nobody may have named. */
        readonly repository: string;
        readonly elapsedMs: number;
      }
    | ArchiveItem
    | { readonly command: 'list'; readonly backup: Manifest }
    | { readonly command: 'info'; readonly backup: Manifest; readonly chain: readonly string[] }
    | { readonly command: 'info'; readonly stream: StreamFacts }
    | { readonly command: 'verify'; readonly backup: Manifest; readonly damage: readonly Damage[] }
    | {
        readonly command: 'restore' | 'export';
        /** Only what differed was written, into what was there. */
        readonly inPlace?: true | undefined;
        readonly id: string;
        readonly disk: string;
        readonly target: string;
        readonly size: number;
        readonly written: number;
        readonly elapsedMs: number;
      }
    | {
        readonly command: 'restore';
        readonly id: string;
        /** The name of the machine that was made of restored disks, and the hypervisor's own identifier of it. */
        readonly machine: string;
        readonly machineId: string;
      }
    | {
        readonly command: 'copy';
        /** Both as they were written. */
        readonly source: string;
        readonly target: string;
        readonly size: number;
        readonly written: number;
        readonly method: 'reflink' | 'copy';
        readonly verified: boolean;
        readonly elapsedMs: number;
      }
    | {
        readonly command: 'map';
        /** As it was written. */
        readonly disk: string;
        readonly size: number;
        /** Bytes of each kind; of `changedSince`, of what differs. */
        readonly data: number;
        readonly zero: number;
        readonly hole: number;
        readonly extents: number;
        readonly method: string;
        readonly fileSystem: string | null;
        readonly changedSince: string | null;
      }
    | {
        readonly command: 'serve';
        /** Clients may connect from now on. */
        readonly exports: readonly ShownExport[];
      }
    | {
        readonly command: 'mount' | 'umount';
        readonly directory: string;
        /** What can be opened now, or could until now. */
        readonly paths: readonly string[];
      }
    | ({ readonly command: 'doctor' } & Diagnosis)
    | VmaItem
    | { readonly command: 'completion'; readonly script: string }
  );

/** A disk that is being served. */
export interface ShownExport {
  readonly name: string;
  readonly uri: string;
  readonly size: number;
  readonly description: string;
  readonly writable: boolean;
}

export interface RunSummary {
  readonly type: 'summary';
  readonly scope: 'run';
  readonly command: CommandName;
  /** Pieces of work that succeeded, and that failed. */
  readonly done: number;
  readonly failed: number;
  readonly exitCode: number;
  readonly elapsedMs: number;
  /** `verify` only: what belongs to no readable backup. */
  readonly damage?: readonly Damage[] | undefined;
}

/** What one SparseStream file says about itself. */
export interface StreamFacts {
  readonly path: string;
  readonly fileSize: number;
  readonly version: number;
  readonly disk: string;
  readonly diskFormat: string | null;
  readonly virtualSize: number;
  readonly date: string;
  readonly checkpointName: string;
  readonly parentCheckpoint: string | null;
  readonly incremental: boolean;
  readonly compression: 'lz4' | 'none';
  /** Our own backup that the file belongs to; null where others wrote it. */
  readonly backup: { readonly id: string; readonly parent: string | null } | null;
  /** Frames of each kind. */
  readonly frames: { readonly data: number; readonly zero: number };
  readonly dataLength: number;
  readonly zeroLength: number;
  readonly storedLength: number;
}

/** One way of showing events. */
export interface Renderer {
  show(event: OutputEvent, time: Date): void;
  /** Nothing follows: a live line is taken away, a file is closed. */
  close(): void;
}
