import koffi from 'koffi';

/** An address in the memory of this process. A wrong one ends the process: nothing but libvirt makes them. */
export type Pointer = bigint;

export const POINTER_LENGTH = 8;
const INT_LENGTH = 4;

const libc = koffi.load(null);
const nativeFree = libc.func('void free(void *pointer)');
const nativeCopy = libc.func('void *memcpy(void *target, void *source, size_t length)');
const nativeStrdup = libc.func('void *strdup(const char *text)');

/** A `char *` that the caller must free: koffi does it as soon as it has made a string of it. */
export const OwnedText = koffi.disposable('str', nativeFree);

export function free(pointer: Pointer): void {
  nativeFree(pointer);
}

/** A copy that the C side will free. */
export function strdup(text: string): Pointer {
  const copy: unknown = nativeStrdup(text);
  if (typeof copy !== 'bigint') throw new Error('out of memory');
  return copy;
}

/** A copy of what lies there. (koffi could decode an array, but keeps the type of every array for ever.) */
export function bytesAt(pointer: Pointer, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  if (length > 0) nativeCopy(bytes, pointer, length);
  return bytes;
}

export function writeAt(pointer: Pointer, bytes: Buffer): void {
  nativeCopy(pointer, bytes, bytes.length);
}

/** A string that stays where it is. */
export function textAt(pointer: Pointer): string {
  return koffi.decode.string(pointer);
}

/** The elements of an array of pointers. */
export function pointersAt(pointer: Pointer, count: number): Pointer[] {
  const bytes = bytesAt(pointer, count * POINTER_LENGTH);
  return Array.from({ length: count }, (_, index) => bytes.readBigUInt64LE(index * POINTER_LENGTH));
}

/** Where C code puts a pointer: pass `place`, then ask. */
export class PointerOut {
  readonly place = Buffer.alloc(POINTER_LENGTH);

  get pointer(): Pointer {
    return this.place.readBigUInt64LE();
  }
}

/** Where C code puts an `int`. */
export class IntOut {
  readonly place = Buffer.alloc(INT_LENGTH);

  get value(): number {
    return this.place.readInt32LE();
  }
}

/** The address of a harmless function without parameters, for C code that must be given one. */
export const doNothing = (): Pointer => symbolOf('getpid');

function symbolOf(name: string): Pointer {
  const pointer: unknown = libc.symbol(name);
  if (typeof pointer !== 'bigint') throw new Error(`the C library has no ${name}`);
  return pointer;
}

const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;

/**
 * The kernel kills this process when the one that started it ends, even while a native call blocks everything here; with
 * `false`, it does so no longer.
 */
export function dieWithParent(die = true): void {
  if (process.platform !== 'linux') return;
  const prctl = libc.func('int prctl(int option, unsigned long argument)');
  prctl(PR_SET_PDEATHSIG, die ? SIGKILL : 0);
}

/** SIGALRM ends this process in so many seconds, even while a native call blocks everything here; 0: not any more. */
export function dieAfter(seconds: number): void {
  if (process.platform !== 'linux') return;
  nativeAlarm ??= libc.func('unsigned int alarm(unsigned int seconds)');
  nativeAlarm(seconds);
}

let nativeAlarm: ReturnType<typeof libc.func> | undefined;
