import type { ExtractReport, VmaDevice } from '@vbackup/core';
import type { Output } from '../output/output.js';

/** Tells how far each device is, as the events of a job. */
export class ExtractProgress {
  readonly #output: Output;
  readonly #started = new Map<VmaDevice, number>();

  constructor(output: Output) {
    this.#output = output;
  }

  readonly at = (device: VmaDevice, done: number): void => {
    const { name: disk, size } = device;
    if (!this.#started.has(device)) {
      this.#started.set(device, performance.now());
      this.#output.work({ type: 'disk-start', disk, size, level: 'copy', planned: size });
    }
    this.#output.work({ type: 'progress', disk, done: Math.min(done, size), planned: size });
  };

  finish({ devices }: ExtractReport): void {
    for (const { device, size, written } of devices) {
      const started = this.#started.get(device);
      if (started === undefined) continue;
      const elapsedMs = performance.now() - started;
      this.#output.work({
        type: 'disk-done',
        disk: device.name,
        read: size,
        data: written,
        stored: written,
        elapsedMs,
      });
    }
  }
}
