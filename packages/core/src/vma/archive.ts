import type { VMA_CODES } from '../errors/index.js';

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

/** What is odd in an archive and does not stop its reading. */
export type VmaWarningCode =
  /** The header's length is no multiple of 512: elonen's reader refuses it. */
  | 'HEADER_LENGTH'
  /** Reserved bytes are not zero. */
  | 'RESERVED'
  /** The time of creation is none. */
  | 'CTIME'
  /** Proxmox rounds a device's size down to 512 and loses the rest. */
  | 'DEVICE_SIZE'
  /** Proxmox does not see the device with the id 255. */
  | 'DEVICE_ID'
  /** A device with a name and no size: it is left out. */
  | 'DEVICE_EMPTY'
  /** A configuration with only one of its two pointers: it is left out. */
  | 'CONFIG_EMPTY'
  /** A name that is no safe file name; `extract` refuses it. */
  | 'UNSAFE_NAME'
  /** Two configurations, or two devices, of one name; `extract` refuses them. */
  | 'DUPLICATE_NAME'
  /** A used slot of an extent behind an unused one. */
  | 'UNUSED_SLOT'
  /** Something other than zeros is stored behind the end of a device; it is ignored. */
  | 'BEHIND_END';

/** Something odd that does not stop the reading. Of what can stand in every extent, only the first is told. */
export interface VmaWarning {
  readonly code: VmaWarningCode;
  readonly message: string;
  readonly offset: number;
}

/** Clusters `first` to `end`, exclusive. */
export interface ClusterRange {
  readonly first: number;
  readonly end: number;
}

export type VmaErrorCode = (typeof VMA_CODES)[number];

/** A rule that the archive breaks. What reads strictly throws it as a ProtocolError; what salvages reports it. */
export interface VmaDamage {
  readonly code: VmaErrorCode;
  readonly message: string;
  /** The byte of the archive at which it shows; of content that differs from its digest, the byte of the device. */
  readonly offset: number;
  /** Bytes of the archive from there on that were passed over; 0 where reading went on at once. */
  readonly length?: number;
  readonly device?: VmaDevice;
  /** The clusters of the device that cannot be had because of it. */
  readonly clusters?: ClusterRange;
}

/** What stands in an archive, in its order. */
export type VmaEvent =
  | { readonly type: 'header'; readonly header: VmaHeader }
  | { readonly type: 'extent'; readonly fileOffset: number; readonly blockCount: number; readonly clusters: number }
  | VmaClusterEvent
  | { readonly type: 'warning'; readonly warning: VmaWarning }
  /** Only when salvaging. */
  | { readonly type: 'damage'; readonly damage: VmaDamage };

export interface VmaClusterEvent {
  readonly type: 'cluster';
  readonly device: VmaDevice;
  /** The cluster is the device's bytes from 65,536 times this on. */
  readonly clusterIndex: number;
  /**
   * Bit i: the 4 KiB block i of the cluster is stored; else it is zeros. A block that lies wholly behind the end of the
   * device has no bit, whatever the archive says; the one in which the device ends is stored whole.
   */
  readonly mask: number;
  /** The stored blocks, one after the other; valid until the next event is asked for. Empty if only headers are read. */
  readonly data: Buffer;
  /** Where the stored blocks begin in the archive. */
  readonly fileOffset: number;
}
