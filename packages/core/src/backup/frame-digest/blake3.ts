import { createRequire } from 'node:module';
import { VBackupError } from '../../errors/index.js';

/** BLAKE3 of pieces that come one after the other. */
interface Blake3State {
  update(bytes: Uint8Array): unknown;
  /** Of all that came so far; more may come. */
  digest(): Buffer;
}

/** BLAKE3 with its 32 bytes (the BLAKE3 paper, section 2). */
export interface Blake3 {
  readonly hash: (bytes: Uint8Array) => Buffer;
  readonly start: () => Blake3State;
}

let native: Blake3 | null | undefined;
let portable: Blake3 | undefined;

/** By the processor's vector instructions; null where there is no binary for this platform. */
export function nativeBlake3(): Blake3 | null {
  if (native === undefined) native = loadNative();
  return native;
}

/** In JavaScript: a fiftieth of the speed, on every platform. */
export function portableBlake3(): Blake3 {
  portable ??= loadPortable();
  return portable;
}

/** The fastest there is. */
export const blake3 = (): Blake3 => nativeBlake3() ?? portableBlake3();

// Both are loaded when they are first needed, and at once: most commands need neither.
const load = (name: string): unknown => createRequire(import.meta.url)(name);

function loadNative(): Blake3 | null {
  let module: unknown;
  try {
    module = load('@napi-rs/blake-hash');
  } catch {
    return null;
  }
  if (!isNative(module)) return null;
  const { blake3: hash, Blake3Hasher: Hasher } = module;
  return {
    hash,
    start: () => {
      const hasher = new Hasher();
      return { update: (bytes) => hasher.update(bytes), digest: () => hasher.digestBuffer() };
    },
  };
}

function loadPortable(): Blake3 {
  const module = load('@noble/hashes/blake3.js');
  if (!isPortable(module)) throw new VBackupError('VB_INTERNAL', '@noble/hashes has no BLAKE3');
  const { blake3: hash } = module;
  return {
    hash: (bytes) => Buffer.from(hash(bytes)),
    start: () => {
      const hasher = hash.create();
      return { update: (bytes) => hasher.update(bytes), digest: () => Buffer.from(hasher.clone().digest()) };
    },
  };
}

interface NativeModule {
  readonly blake3: (bytes: Uint8Array) => Buffer;
  readonly Blake3Hasher: new () => { update(bytes: Uint8Array): unknown; digestBuffer(): Buffer };
}

interface PortableHasher {
  update(bytes: Uint8Array): unknown;
  clone(): PortableHasher;
  digest(): Uint8Array;
}

interface PortableModule {
  readonly blake3: ((bytes: Uint8Array) => Uint8Array) & { create(): PortableHasher };
}

const isNative = (module: unknown): module is NativeModule =>
  typeof module === 'object' && module !== null && 'blake3' in module && 'Blake3Hasher' in module;

const isPortable = (module: unknown): module is PortableModule =>
  typeof module === 'object' && module !== null && 'blake3' in module;
