/** A configuration file in the header, e.g. `qemu-server.conf`. */
export interface VmaConfig {
  readonly name: string;
  readonly content: Buffer;
}

/** A device of the archive. */
export interface VmaDevice {
  /** 1 to 255; 255 only with a warning. */
  readonly id: number;
  readonly name: string;
  /** Bytes; of `vmstate` only informational. */
  readonly size: number;
}

/** The reserved name of a guest's memory: a device whose clusters are in order and whose size does not bind. */
export const VMSTATE_NAME = 'vmstate';

export interface VmaHeader {
  /** 16 bytes, in text order. */
  readonly uuid: Buffer;
  /** Seconds since 1970, UTC. */
  readonly ctime: number;
  /** The first extent begins here. */
  readonly length: number;
  readonly configs: readonly VmaConfig[];
  /** In the order of their ids. */
  readonly devices: readonly VmaDevice[];
}

/** Something odd that does not stop the reading (specs A.1.5, "Accept with a warning"). */
export interface VmaWarning {
  readonly code: string;
  readonly message: string;
  readonly offset: number;
}

/** What stands in an archive, in its order. */
export type VmaEvent =
  | { readonly type: 'header'; readonly header: VmaHeader }
  | { readonly type: 'extent'; readonly fileOffset: number; readonly blockCount: number; readonly clusters: number }
  | {
      readonly type: 'cluster';
      readonly device: VmaDevice;
      /** The cluster is the device's bytes from 65,536 times this on. */
      readonly clusterIndex: number;
      /** Bit i: the 4 KiB block i of the cluster is stored; else it is zeros. */
      readonly mask: number;
      /** The stored blocks, one after the other; valid until the next event is asked for. */
      readonly data: Buffer;
      /** Where `data` begins in the archive. */
      readonly fileOffset: number;
    }
  | { readonly type: 'warning'; readonly warning: VmaWarning };
