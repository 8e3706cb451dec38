import type { TLSSocket } from 'node:tls';

/** As `onread` of net.Socket: where the next bytes go, and how many arrived there. */
export interface DirectReader {
  readonly buffer: () => Buffer;
  /** `buffer` is the one of `buffer()` that the bytes were written to. */
  readonly callback: (length: number, buffer: Uint8Array) => boolean;
}

/** A socket that is read directly. */
export interface DirectReading {
  /** Whatever still comes goes to `place`: OpenSSL may hold bytes that it gives away after the socket was destroyed. */
  park(place: Buffer): void;
}

/** What node:net calls the parts of `onread`; every socket has them, empty where `onread` was not given. */
const PARTS = ['kBuffer', 'kBufferCb', 'kBufferGen'] as const;

/**
 * Gives a TLS socket what `onread` gives a plain one: Node ignores `onread` on a socket that was upgraded, and then
 * allocates for every record. This reaches into Node (22 to 26 have it), so it looks first, and changes nothing where
 * anything is not as it was: then nothing is returned, and the caller listens for 'data'.
 */
export function readDirectly(socket: TLSSocket, reader: DirectReader): DirectReading | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return undefined;
  const useUserBuffer: unknown = Reflect.get(handle, 'useUserBuffer');
  if (typeof useUserBuffer !== 'function') return undefined;
  const symbols = Object.getOwnPropertySymbols(socket);
  const [buffer, callback, generator] = PARTS.map((name) => symbols.find(({ description }) => description === name));
  if (buffer === undefined || callback === undefined || generator === undefined) return undefined;
  if ([buffer, callback, generator].some((symbol) => Reflect.get(socket, symbol) !== null)) return undefined;
  const first = reader.buffer();
  Reflect.set(socket, buffer, first);
  Reflect.set(socket, callback, reader.callback);
  Reflect.set(socket, generator, reader.buffer);
  Reflect.apply(useUserBuffer, handle, [first]);
  return {
    park: (place) => {
      Reflect.set(socket, buffer, place);
      Reflect.set(socket, generator, () => place);
      if (Reflect.get(socket, '_handle') === handle) Reflect.apply(useUserBuffer, handle, [place]);
    },
  };
}
