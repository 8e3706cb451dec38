import type { VmaDevice } from '@vbackup/core';
import type { Output } from '../output/output.js';

/** A device that is done. */
export interface DoneDevice {
  readonly device: VmaDevice;
  readonly size: number;
  /** Bytes of data. */
  readonly written: number;
}

/** Tells how far each device is, as the events of a job. */
export class DeviceProgress {
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

  finish(devices: readonly DoneDevice[]): void {
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
