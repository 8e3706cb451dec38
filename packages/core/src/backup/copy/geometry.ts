import type { BlockLimits } from '../../hypervisor/index.js';

const KiB = 1024;
const MiB = 1024 * KiB;

/** Zeros are found in units of this length, and every frame but a disk's last begins and ends on a multiple of it. */
export const PAGE_LENGTH = 64 * KiB;

/** What a copy reads grows outward to multiples of this. @param alignment - the device's, in bytes */
export const copyUnitOf = (alignment: number): number => Math.max(PAGE_LENGTH, alignment);

const SHORTEST_FRAME = MiB;
/** No frame of a disk is longer. */
export const LONGEST_FRAME = 16 * MiB;
/** A disk has about this many frames at most, so that its index stays small. */
const FRAME_COUNT_AIM = 2 ** 20;

/** All slots of one kind take at most this many bytes … */
const SLOT_BYTES = 32 * MiB;
/** … and are never more than this: what is in flight should stay in the processor's cache. */
const SLOT_COUNT_LIMIT = 8;

/** The length of a disk's frames: a power of two from 1 MiB to 16 MiB that grows with the disk. */
export function frameLengthOf(size: number): number {
  const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, size / FRAME_COUNT_AIM)));
  return Math.min(LONGEST_FRAME, Math.max(SHORTEST_FRAME, wanted));
}

/** Fewer would let nothing be read while something is written. */
const FEWEST_SLOTS = 2;

/** How many slots of `length` a pool has, where so many disks share the memory. */
export const slotCountOf = (length: number, disksAtOnce = 1): number =>
  Math.max(FEWEST_SLOTS, Math.floor(Math.min(SLOT_COUNT_LIMIT, Math.floor(SLOT_BYTES / length)) / disksAtOnce));

/** How many slots of `length` hold what is in flight, and as much that waits to be written. */
export const slotCountFor = (
  bytesInFlight: number,
  { length, disksAtOnce }: { readonly length: number; readonly disksAtOnce: number },
): number =>
  Math.max(
    FEWEST_SLOTS,
    Math.min(Math.floor(SLOT_BYTES / length / disksAtOnce), Math.ceil((2 * bytesInFlight) / length)),
  );

/** A shorter run of zeros inside data is stored as data: it would cost more frames than it saves bytes. */
export const shortestZeroRunOf = (frameLength: number): number => Math.max(PAGE_LENGTH, frameLength / 16);

/** No request to a device is longer: it would leave the processor's cache … */
const LONGEST_REQUEST = MiB;
/** … or shorter than this, if the device allows it: QEMU takes memory from the system for longer ones, fresh for each. */
const SHORTEST_REQUEST = 512 * KiB;

/** How long requests are of which so many bytes should be in flight. @param limits - of the device; `alignment` up to 1 MiB */
export function requestLengthOf(bytesInFlight: number, limits: BlockLimits): number {
  const { alignment, maximumRequest, maximumInFlight } = limits;
  const unit = copyUnitOf(alignment);
  const wanted = Math.ceil(bytesInFlight / maximumInFlight / unit) * unit;
  return Math.min(maximumRequest, LONGEST_REQUEST, Math.max(SHORTEST_REQUEST, wanted, alignment));
}
