import type { AllocationExtent, Extent } from '../extent/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { VmaDevice } from './archive.js';
import { isZero, PIECE_LENGTH, PieceDigests, type PieceHasher, plainHasher } from './piece-digests.js';
import type { DeviceDigests, Sidecar } from './sidecar.js';

/** What is needed of an archive that can be read at any place. */
export interface DigestibleArchive {
  readonly header: { readonly uuid: Buffer; readonly devices: readonly VmaDevice[] };
  image(device: VmaDevice): DigestibleImage;
}

export interface DigestibleImage {
  readonly size: number;
  extents(range: Extent): Iterable<AllocationExtent>;
  read(offset: number, target: Buffer, options?: WithSignal): Promise<void>;
}

export interface DigestArchiveOptions extends WithSignal {
  readonly hasher?: PieceHasher | undefined;
  /** The own bytes of devices, by id, where the archive's size is not it. */
  readonly lengths?: ReadonlyMap<number, number> | undefined;
}

/** Computes the digests of an archive's devices from the archive itself, whatever the order of its clusters is. */
export async function digestArchive(archive: DigestibleArchive, options: DigestArchiveOptions = {}): Promise<Sidecar> {
  const devices: DeviceDigests[] = [];
  for (const device of archive.header.devices) {
    const image = archive.image(device);
    const length = Math.min(options.lengths?.get(device.id) ?? image.size, image.size);
    const { id, name, size } = device;
    devices.push({ id, name, size, length, pieces: await digestImage(image, length, options) });
  }
  return { uuid: archive.header.uuid, devices };
}

/** One piece is read while the one before it is hashed. */
async function digestImage(
  image: DigestibleImage,
  length: number,
  { hasher = plainHasher, signal }: DigestArchiveOptions,
): Promise<PieceDigests> {
  const pieces = new PieceDigests();
  const slots = [hasher.allocate(PIECE_LENGTH), hasher.allocate(PIECE_LENGTH)];
  let hashed: Promise<void> = Promise.resolve();
  for (let offset = 0; offset < length; offset += PIECE_LENGTH) {
    signal?.throwIfAborted();
    const range = { offset, length: Math.min(PIECE_LENGTH, length - offset) };
    if (!hasData(image, range)) continue;
    const pieceIndex = offset / PIECE_LENGTH;
    const bytes = (slots[0] ?? hasher.allocate(PIECE_LENGTH)).subarray(0, range.length);
    await image.read(offset, bytes, signal === undefined ? {} : { signal });
    await hashed;
    if (isZero(bytes)) continue;
    slots.reverse();
    hashed = hasher.hash(bytes).then((digest) => pieces.set(pieceIndex, digest));
    hashed.catch(() => undefined);
  }
  await hashed;
  return pieces;
}

function hasData(image: DigestibleImage, range: Extent): boolean {
  for (const { kind } of image.extents(range)) if (kind === 'data') return true;
  return false;
}
