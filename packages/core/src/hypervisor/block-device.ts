import type { AllocationExtent, Extent } from '../extent/index.js';

export interface WithSignal {
  readonly signal?: AbortSignal | undefined;
}

/** What a device demands of every request. All in bytes. */
export interface BlockLimits {
  /** Offset and length of every request are multiples of this power of two (the tail of the disk included). */
  readonly alignment: number;
  /** The longest request that the device serves. */
  readonly maximumRequest: number;
  /** How many requests may usefully be in flight at once. */
  readonly maximumInFlight: number;
}

/** A range of a disk, as long as the memory that it is read to. */
export interface ReadPiece {
  readonly offset: number;
  readonly target: Buffer;
}

/** A frozen disk that can be read. Reads may overlap in time and finish in any order. */
export interface BlockReader extends AsyncDisposable {
  /** Bytes; a multiple of `limits.alignment`. */
  readonly size: number;
  readonly limits: BlockLimits;

  /**
   * Fills the whole of `target` with the disk's bytes from `offset` on. `target` belongs to the reader until the
   * promise settles. A short read is an error.
   */
  read(offset: number, target: Buffer, options?: WithSignal): Promise<void>;

  /**
   * As `read`, of several pieces at once, in any order. When it fails, no target is touched any more. Missing where it would save
   * nothing.
   */
  readAll?(pieces: readonly ReadPiece[], options?: WithSignal): Promise<void>;

  /**
   * Says which parts of `range` hold data, ascending, without gaps, clipped to `range`. Missing where the source
   * cannot tell: then everything is data.
   */
  allocation?(range: Extent, options?: WithSignal): AsyncIterable<AllocationExtent>;
}

/**
 * A disk that can be written: the target of a restore. Calls never overlap, and come in ascending order of offset unless the
 * target says that it takes any.
 */
export interface BlockWriter extends AsyncDisposable {
  readonly size: number;
  readonly limits: BlockLimits;
  /** True where what is never written reads as zero, so that `zero` need not be called. */
  readonly zeroed: boolean;
  /** Present where calls may come in any order. */
  readonly anyOrder?: true;

  /** `bytes` belongs to the writer until the promise settles. */
  write(offset: number, bytes: Buffer, options?: WithSignal): Promise<void>;
  zero(offset: number, length: number, options?: WithSignal): Promise<void>;
  /** Makes durable what was written, and takes nothing into use yet, so that `finish` has little left to do. */
  sync?(options?: WithSignal): Promise<void>;
  /** Makes everything durable and takes it into use (a file gets its name). Without it, dispose undoes what it can. */
  finish(options?: WithSignal): Promise<void>;
}

/** A disk that holds something already, and is read and written where it lies. */
export interface BlockDevice extends BlockReader, BlockWriter {}

/** What must fit a disk before it is changed where it lies. */
export type DeviceSpecification = Pick<TargetSpecification, 'size' | 'label'>;

/**
 * Opens a disk that is changed where it lies, so that nobody else can write to it at the same time.
 * The opener throws VB_TARGET_SIZE if it has another size than it should.
 */
export type OpenDevice = (specification: DeviceSpecification, options?: WithSignal) => Promise<BlockDevice>;

/** What a target must know before the first byte. */
export interface TargetSpecification {
  readonly size: number;
  /** Every range that will be written, ascending and disjoint; whatever lies between reads as zero. */
  readonly data: readonly Extent[];
  /** A name for people: the guest and the disk that are restored. */
  readonly label: string;
}

/** Opens the place that a restore writes to. */
export type OpenTarget = (specification: TargetSpecification, options?: WithSignal) => Promise<BlockWriter>;
