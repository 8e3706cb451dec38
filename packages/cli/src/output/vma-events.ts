import type { ArchiveCompression } from '@vbackup/core';

/** The results of the commands of the group `vma`. */
export type VmaItem = { readonly command: 'vma list'; readonly archive: VmaArchiveFacts };

/** What the header of an archive says. */
export interface VmaArchiveFacts {
  /** As it was written; `-` for standard input. */
  readonly path: string;
  readonly compression: ArchiveCompression;
  readonly uuid: string;
  /** Null where the header says something that is no time. */
  readonly created: string | null;
  readonly headerLength: number;
  readonly configs: readonly { readonly name: string; readonly size: number }[];
  readonly devices: readonly { readonly id: number; readonly name: string; readonly size: number }[];
}
