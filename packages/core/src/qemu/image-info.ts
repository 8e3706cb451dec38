/** What `qemu-img info` says of an image. */
export interface ImageInfo {
  /** QEMU's name: `raw`, `qcow2`, `vpc` (VHD), `vhdx`, `vmdk`, `vdi`. */
  readonly format: string;
  readonly virtualSize: number;
  /** The image that this one stands on, as its header names it. */
  readonly backingFile: string | null;
  /** Where the clusters of a qcow2 lie in a file of their own. */
  readonly dataFile: string | null;
  readonly bitmaps: readonly DirtyBitmap[];
  readonly encrypted: boolean;
}

/** A persistent dirty bitmap of a qcow2. */
export interface DirtyBitmap {
  readonly name: string;
  /** Bytes per bit. */
  readonly granularity: number;
  /** It records writes. */
  readonly auto: boolean;
  /** It was not closed properly: it may have missed writes. */
  readonly inUse: boolean;
}
