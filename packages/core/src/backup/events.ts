import type { Extent } from '../extent/index.js';
import type { FullReason, Warning } from '../hypervisor/index.js';
import type { BackupLevel } from './manifest.js';

/** What happens while a backup, a restore or a verification runs, in order. Numbers are bytes unless they say otherwise. */
export type WorkEvent =
  | {
      readonly type: 'start';
      readonly work: 'backup' | 'restore' | 'verify';
      readonly id: string;
      readonly guest: string;
    }
  | {
      readonly type: 'disk-start';
      readonly disk: string;
      readonly size: number;
      readonly level: BackupLevel;
      readonly reason?: FullReason | undefined;
      readonly detail?: string | undefined;
      /** What will be read (backup), written (restore) or checked (verify). */
      readonly planned: number;
    }
  /** Of the disk, or of its audit where that has started and is not done. */
  | { readonly type: 'progress'; readonly disk: string; readonly done: number; readonly planned: number }
  /** Before any disk starts, share number `share` (from 0) of `shares` of what a disk calls unchanged is compared. */
  | {
      readonly type: 'audit-start';
      readonly disk: string;
      readonly share: number;
      readonly shares: number;
      /** What will be compared. */
      readonly planned: number;
    }
  | {
      readonly type: 'audit-done';
      readonly disk: string;
      /** Bytes that were compared, holes included. */
      readonly length: number;
      /** The first bytes that differ, where there are any: the guest gets a full backup. */
      readonly difference: Extent | null;
      readonly elapsedMs: number;
    }
  | ({ readonly type: 'warning'; readonly disk?: string | undefined } & Warning)
  | {
      readonly type: 'disk-done';
      readonly disk: string;
      readonly read: number;
      readonly data: number;
      readonly stored: number;
      readonly elapsedMs: number;
    };

export type OnEvent = (event: WorkEvent) => void;
