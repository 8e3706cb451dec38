import { createRequire } from 'node:module';

/** A function of a library, called in this thread; its arguments are what its definition says, buffers are not copied. */
export type SystemFunction = (...values: readonly unknown[]) => unknown;

/** A library of the system that is loaded. */
export interface SystemLibrary {
  /** @throws Error if the library has no such function */
  func(definition: string): SystemFunction;
}

/** What is used of koffi. */
interface Koffi {
  load(path: string | null): SystemLibrary;
}

/** Node's own executable, which shows what it is linked with: zlib, for one. */
export const NODE_ITSELF = null;

/**
 * Calls `bind` with a library of the system, and gives its result; null where koffi has no binary for this machine, the library is
 * not installed, or `bind` throws because the library is not as expected. Nothing is loaded before.
 * @param soname - with the number of its interface, `liblz4.so.1`, or {@link NODE_ITSELF}
 */
export function withSystemLibrary<Bound>(
  soname: string | typeof NODE_ITSELF,
  bind: (library: SystemLibrary) => Bound,
): Bound | null {
  try {
    const koffi: Koffi = createRequire(import.meta.url)('koffi');
    return bind(koffi.load(soname));
  } catch {
    return null;
  }
}
