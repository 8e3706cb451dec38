import type net from 'node:net';
import { endianness } from 'node:os';
import { NODE_ITSELF, withSystemLibrary } from '../../sparse-stream/system-library.js';

/** `setsockopt` (2), of a socket and its option. */
type SetSocketOption = (descriptor: number, value: number) => boolean;

/** Linux, `asm-generic/socket.h`: what the machines have that are named here. */
const ARCHITECTURES: readonly string[] = ['x64', 'arm64', 'riscv64'];
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;

/**
 * What a client has not read yet of replies may lie in the kernel, instead of waiting for its turn here. The kernel doubles it for what
 * it needs itself (`socket` (7)), and takes no more than `net.core.wmem_max`, which is 208 KiB or 4 MiB.
 */
const SEND_BUFFER_LENGTH = 512 * 1024;

let known: SetSocketOption | null | undefined;

/**
 * Lets a unix socket hold whole replies: by default it holds 160 KiB, so that most replies leave in pieces, and both sides wait for each
 * other at every piece. Node has no call for that, so the C library is asked.
 * @returns whether it was done. Where it cannot be, a reply only takes more turns
 */
export function enlargeSendBuffer(socket: net.Socket): boolean {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return false;
  const descriptor: unknown = Reflect.get(handle, 'fd');
  if (typeof descriptor !== 'number' || descriptor < 0) return false;
  known ??= bind();
  return known !== null && known(descriptor, SEND_BUFFER_LENGTH);
}

function bind(): SetSocketOption | null {
  if (process.platform !== 'linux' || !ARCHITECTURES.includes(process.arch) || endianness() !== 'LE') return null;
  return withSystemLibrary(NODE_ITSELF, (library) => {
    const call = library.func(
      'int setsockopt(int descriptor, int level, int name, const void *value, unsigned int length)',
    );
    return (descriptor, value) => {
      const bytes = Buffer.alloc(4);
      bytes.writeInt32LE(value);
      return call(descriptor, SOL_SOCKET, SO_SNDBUF, bytes, bytes.length) === 0;
    };
  });
}
