import type { NbdExport } from '../nbd/server/export.js';

export interface ExportObserver {
  /** Before each request: a client that only looks at what there is makes none. */
  readonly onUse: () => void;
  /** Of a request, which fails all the same. */
  readonly onError: (error: unknown) => void;
  /** Once. */
  readonly onClose: () => void;
}

/** An export as it is, and somebody who hears of what is done with it. */
export function observed(shown: NbdExport, { onUse, onError, onClose }: ExportObserver): NbdExport {
  const told = async <Result>(request: () => Promise<Result> | undefined): Promise<Result | undefined> => {
    onUse();
    try {
      return await request();
    } catch (error) {
      onError(error);
      throw error;
    }
  };
  return {
    ...shown,
    read: (offset, target, options) => told(() => shown.read(offset, target, options)),
    ...(shown.lend && { lend: (range, options) => told(() => shown.lend?.(range, options)) }),
    ...(shown.write && { write: (offset, bytes, options) => told(() => shown.write?.(offset, bytes, options)) }),
    ...(shown.zero && { zero: (range, options) => told(() => shown.zero?.(range, options)) }),
    ...(shown.trim && { trim: (range, options) => told(() => shown.trim?.(range, options)) }),
    ...(shown.flush && { flush: (options) => told(() => shown.flush?.(options)) }),
    ...(shown.status && {
      status: async (context, range, options) => (await told(() => shown.status?.(context, range, options))) ?? [],
    }),
    close: async () => {
      onClose();
      await shown.close?.();
    },
  };
}
