/** What became of disks that were written for other tools. */
export type ArchiveItem = ArchiveWritten | FolderWritten;

export interface ArchiveWritten {
  readonly command: 'backup' | 'export' | 'vma create' | 'vma repack';
  readonly written: WrittenArchiveFacts;
  readonly elapsedMs: number;
}

/** A virtnbdbackup directory. */
export interface FolderWritten {
  readonly command: 'export';
  /** The backup that was exported. */
  readonly id: string;
  readonly folder: string;
  /** Names of its disks. */
  readonly disks: readonly string[];
  readonly elapsedMs: number;
}

export interface WrittenArchiveFacts {
  /** As it was named, or as it got its name. */
  readonly path: string;
  readonly compression: 'none' | 'zstd';
  readonly uuid: string;
  readonly created: string;
  /** Bytes of the archive, compressed if it is. */
  readonly length: number;
  readonly configs: readonly string[];
  readonly devices: readonly WrittenDeviceFacts[];
  /** The file with its digests; null if there is none. */
  readonly sidecar: string | null;
}

export interface WrittenDeviceFacts {
  readonly name: string;
  readonly size: number;
  /** Bytes that are not zeros, in whole blocks of 4 KiB. */
  readonly data: number;
}
