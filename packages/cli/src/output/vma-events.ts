import type { ArchiveCompression } from '@vbackup/core';

/** The results of the commands of the group `vma`. */
export type VmaItem =
  | { readonly command: 'vma list'; readonly archive: VmaArchiveFacts }
  | {
      readonly command: 'vma config';
      readonly name: string;
      readonly size: number;
      /** As UTF-8; null where it went into a file. */
      readonly content: string | null;
      readonly file: string | null;
    }
  | ({ readonly command: 'vma info'; readonly archive: VmaArchiveFacts } & VmaStructure)
  | ({
      readonly command: 'vma verify';
      readonly archive: VmaArchiveFacts;
      /** The file with the digests that were compared. */
      readonly sidecar: string | null;
      readonly contents: readonly VmaContentFacts[];
      /** What can be had was asked for. */
      readonly salvage: boolean;
    } & VmaStructure)
  | VmaExtraction;

/** What became of one device, or of one configuration. */
export type VmaExtraction =
  | {
      readonly command: 'vma extract';
      readonly device: string;
      /** As it was written, or the file in the folder. */
      readonly target: string;
      readonly size: number;
      readonly written: number;
      /** Ranges that the archive lacks, and that are zeros now; empty unless it was salvaged. */
      readonly missing: readonly { readonly offset: number; readonly length: number }[];
    }
  | { readonly command: 'vma extract'; readonly config: string; readonly target: string; readonly size: number };

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

/** What the extents of an archive say. */
export interface VmaStructure {
  readonly extents: number;
  /** The most of one extent. */
  readonly clustersPerExtent: number;
  /** By device. */
  readonly clusters: readonly VmaClusterFacts[];
  /** The first of them. */
  readonly damages: readonly VmaDamageFacts[];
  readonly damageCount: number;
}

export interface VmaClusterFacts {
  readonly device: string;
  readonly clusters: number;
  /** Those of which all, some, no 4 KiB blocks are stored. */
  readonly full: number;
  readonly partial: number;
  readonly zero: number;
  readonly missing: number;
  readonly storedLength: number;
  readonly ordered: boolean;
}

export interface VmaDamageFacts {
  readonly code: string;
  readonly message: string;
  /** In the archive, or of a damaged content in the device. */
  readonly offset: number;
  readonly device: string | null;
  /** The range of the device that cannot be had because of it. */
  readonly extent: { readonly offset: number; readonly length: number } | null;
}

/** What was found out about the content of a device, and if nothing, why. */
export interface VmaContentFacts {
  readonly device: string;
  readonly sha256: string | null;
  /** Compared with a sidecar. */
  readonly checked: boolean;
  readonly reason: 'headers-only' | 'no-sidecar' | 'not-in-sidecar' | 'incomplete' | 'not-ordered' | null;
}
