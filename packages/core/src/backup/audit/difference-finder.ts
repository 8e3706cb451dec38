import type { Extent } from '../../extent/index.js';
import type { ImageWriter } from '../image.js';

/** Ends a comparison at its first difference. */
export class DifferenceFound extends Error {
  readonly extent: Extent;

  constructor(extent: Extent) {
    super(`bytes ${extent.offset} to ${extent.offset + extent.length - 1} differ`);
    this.extent = extent;
  }
}

/** Takes what differs, in ascending order, and stops at the first. @throws DifferenceFound */
export class DifferenceFinder implements ImageWriter {
  async data(offset: number, bytes: Buffer): Promise<void> {
    throw new DifferenceFound({ offset, length: bytes.length });
  }

  async zero(offset: number, length: number): Promise<void> {
    throw new DifferenceFound({ offset, length });
  }

  async finish(): Promise<{ readonly dataLength: 0; readonly storedLength: 0 }> {
    return { dataLength: 0, storedLength: 0 };
  }

  async abort(): Promise<void> {}
}
