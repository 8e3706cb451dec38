import type { BlockWriter, OpenTarget } from '@vbackup/core';

/**
 * Several targets that are taken into use together: each is made durable when it is complete, and gets its name when all are. If
 * one of them fails, every file that would have been replaced stays as it was, instead of disks of two instants beside each other.
 */
export class JointFinish implements AsyncDisposable {
  readonly #complete = new Set<BlockWriter>();

  /** A target whose finish waits for {@link finish}. */
  join(openTarget: OpenTarget): OpenTarget {
    return async (specification, options) => this.#joined(await openTarget(specification, options));
  }

  /** Gives all of them their names. */
  async finish(): Promise<void> {
    for (const writer of this.#complete) {
      await writer.finish();
      await writer[Symbol.asyncDispose]();
      this.#complete.delete(writer);
    }
  }

  /** Undoes those that were not finished. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const writer of this.#complete) await writer[Symbol.asyncDispose]();
    this.#complete.clear();
  }

  #joined(writer: BlockWriter): BlockWriter {
    const { size, limits, zeroed, anyOrder } = writer;
    return {
      size,
      limits,
      zeroed,
      ...(anyOrder === undefined ? {} : { anyOrder }),
      write: (offset, bytes, options) => writer.write(offset, bytes, options),
      zero: (offset, length, options) => writer.zero(offset, length, options),
      finish: async (options) => {
        await writer.sync?.(options);
        this.#complete.add(writer);
      },
      [Symbol.asyncDispose]: async () => {
        if (!this.#complete.has(writer)) await writer[Symbol.asyncDispose]();
      },
    };
  }
}
