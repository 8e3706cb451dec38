import type { Libc } from './libc.js';
import type { NativeModule } from './native-libc.js';

/** The machines whose ioctl numbers and calling convention linux-words.ts and native-libc.ts know; all little-endian. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64', 'loong64'];

const importKoffi = (): Promise<NativeModule> => import('koffi');

let loaded: Promise<Libc | null> | undefined;

/**
 * The C library of this process; null where koffi has no binary for this machine, or the machine is not Linux.
 * @param load - stands in for `import('koffi')` in tests
 */
export function loadLibc(load?: () => Promise<NativeModule>): Promise<Libc | null> {
  if (load !== undefined) return bind(load);
  loaded ??= bind(importKoffi);
  return loaded;
}

async function bind(load: () => Promise<NativeModule>): Promise<Libc | null> {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch)) return null;
  try {
    const { NativeLibc } = await import('./native-libc.js');
    return new NativeLibc(await load());
  } catch {
    return null;
  }
}
