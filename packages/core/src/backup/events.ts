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
  | { readonly type: 'progress'; readonly disk: string; readonly done: number; readonly planned: number }
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
