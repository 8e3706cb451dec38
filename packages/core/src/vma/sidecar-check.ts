import { createHash, type Hash } from 'node:crypto';
import { VBackupError } from '../errors/index.js';
import type { VmaDevice, VmaHeader } from './archive.js';
import type { ContentCheck } from './content-order.js';
import { DamageList } from './damage.js';
import { isZero, PIECE_LENGTH } from './piece-digests.js';
import type { DeviceDigests, Sidecar } from './sidecar.js';
import { VMA_CLUSTER_LENGTH } from './words.js';

/**
 * What a sidecar has to say of an archive, as checks of its devices. It names all of them.
 * @throws VBackupError VB_VMA_SIDECAR if it is that of another archive
 */
export function sidecarChecks({ uuid, devices }: Sidecar, header: VmaHeader): ContentCheck[] {
  if (!uuid.equals(header.uuid)) {
    const message = `the sidecar is that of the archive ${uuid.toString('hex')}, not of ${header.uuid.toString('hex')}`;
    throw new VBackupError('VB_VMA_SIDECAR', message);
  }
  const unnamed = header.devices.find(({ id }) => !devices.some((digests) => digests.id === id));
  if (unnamed !== undefined) {
    throw new VBackupError('VB_VMA_SIDECAR', `the sidecar does not name device ${unnamed.id} of the archive`);
  }
  return devices.map((digests) => {
    const device = header.devices.find(({ id }) => id === digests.id);
    if (device?.name === digests.name && device.size === digests.size) return new SidecarCheck(device, digests);
    const message = `the sidecar names a device ${digests.id} of ${digests.size} bytes that the archive does not have`;
    throw new VBackupError('VB_VMA_SIDECAR', message);
  });
}

/** Compares the content of a device with the digests of its pieces. */
class SidecarCheck implements ContentCheck {
  readonly device: VmaDevice;
  readonly #digests: DeviceDigests;
  readonly #damages = new DamageList();
  #position = 0;
  /** Of the piece under way; undefined where zeros are expected. */
  #hash: Hash | undefined;
  #zeros = true;

  constructor(device: VmaDevice, digests: DeviceDigests) {
    this.device = device;
    this.#digests = digests;
  }

  update(bytes: Buffer): void {
    // What is behind the device's own bytes is there for Proxmox's sectors, and not hashed.
    const own = bytes.subarray(0, Math.max(0, this.#digests.length - this.#position));
    for (let at = 0; at < own.length; ) {
      if (this.#position % PIECE_LENGTH === 0) this.#begin();
      const part = own.subarray(at, at + PIECE_LENGTH - (this.#position % PIECE_LENGTH));
      if (this.#hash === undefined) this.#zeros &&= isZero(part);
      else this.#hash.update(part);
      at += part.length;
      this.#position += part.length;
      if (this.#position % PIECE_LENGTH === 0 || this.#position === this.#digests.length) this.#end();
    }
  }

  finish(): DamageList {
    const { length } = this.#digests;
    if (this.#position < length) this.#damage(this.#position, `ends at byte ${this.#position}, of ${length}`);
    return this.#damages;
  }

  #begin(): void {
    const expected = this.#digests.pieces.get(this.#position / PIECE_LENGTH);
    this.#hash = expected === undefined ? undefined : createHash('sha256');
    this.#zeros = true;
  }

  #end(): void {
    const pieceIndex = Math.ceil(this.#position / PIECE_LENGTH) - 1;
    const start = pieceIndex * PIECE_LENGTH;
    const right =
      this.#hash === undefined ? this.#zeros : this.#hash.digest('hex') === this.#digests.pieces.get(pieceIndex);
    if (!right) this.#damage(start, `is not what the sidecar says, in its bytes ${start} to ${this.#position - 1}`);
  }

  #damage(offset: number, what: string): void {
    const { device } = this;
    const clusters = {
      first: Math.floor(offset / VMA_CLUSTER_LENGTH),
      end: Math.ceil(Math.min(offset + PIECE_LENGTH, this.#digests.length) / VMA_CLUSTER_LENGTH),
    };
    const message = `device ${device.id} (${JSON.stringify(device.name.slice(0, 80))}) ${what}`;
    this.#damages.add({ code: 'VB_VMA_DIGEST', message, offset, device, clusters });
  }
}
