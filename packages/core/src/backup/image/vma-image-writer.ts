import { VBackupError } from '../../errors/index.js';
import type { VmaDeviceWriter, VmaWriter } from '../../vma/index.js';
import type { ImageSummary, ImageWriter } from '../image.js';

/**
 * One device of an archive as the place of one disk of a backup. Several may be written at a time. It is durable when the
 * archive's output is finished, and not before; one that is aborted makes the whole archive unusable.
 */
export class VmaImageWriter implements ImageWriter {
  readonly #archive: VmaWriter;
  readonly #device: VmaDeviceWriter;

  /** @throws VBackupError VB_VMA_WRITE if the archive has no device of this name */
  constructor(archive: VmaWriter, name: string) {
    this.#archive = archive;
    this.#device = archive.device(name);
  }

  async data(offset: number, bytes: Buffer): Promise<void> {
    await this.#device.write(offset, bytes);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#device.zero(offset, length);
  }

  async finish(): Promise<ImageSummary> {
    const { dataLength, storedLength } = await this.#device.finish();
    return { dataLength, storedLength };
  }

  abort(): Promise<void> {
    this.#archive.abort(new VBackupError('VB_ABORTED', `device ${this.#device.name} of the archive was not completed`));
    return Promise.resolve();
  }
}
