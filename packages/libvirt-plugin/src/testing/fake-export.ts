import { type Extent, type NbdConnectOptions, type StatusExtent, VBackupError } from '@vbackup/core';
import type { ExportOpener, JobExport } from '../backup/index.js';

/** The exports of a job, in memory. */
export class FakeExports {
  /** By target name; every disk has 1 MiB at first. */
  readonly sizes = new Map<string, number>();
  /** By target name. */
  readonly dirty = new Map<string, readonly Extent[]>();
  readonly opened: NbdConnectOptions[] = [];
  /** The server is gone: every read fails. */
  broken = false;

  readonly open: ExportOpener = (options) => {
    this.opened.push(options);
    return Promise.resolve(this.#export(options.exportName, options.metaContexts ?? []));
  };

  #export(target: string, metaContexts: readonly string[]): JobExport {
    const size = this.sizes.get(target) ?? 2 ** 20;
    return {
      size,
      limits: { alignment: 1, maximumRequest: 2 ** 25, maximumInFlight: 8 },
      metaContexts,
      read: async (_offset, bytes) => {
        if (this.broken) throw new VBackupError('VB_NBD_DISCONNECTED', 'the NBD server closed the connection');
        bytes.fill(0x55);
      },
      blockStatus: () => statusOf(this.dirty.get(target) ?? [], size),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}

async function* statusOf(dirty: readonly Extent[], size: number): AsyncGenerator<StatusExtent> {
  let position = 0;
  for (const { offset, length } of dirty) {
    if (offset > position) yield { offset: position, length: offset - position, flags: 0 };
    yield { offset, length, flags: 1 };
    position = offset + length;
  }
  if (position < size) yield { offset: position, length: size - position, flags: 0 };
}
