import { createCipheriv, createHash } from 'node:crypto';

const MiB = 1024 * 1024;
const PAGE = 4096;

/** Pseudo-random bytes from a seed, the same in every run: half as a media file is, half as text and logs are. */
export class GuestData {
  #counter = 0;
  readonly #seed: string;

  constructor(seed: string) {
    this.#seed = seed;
  }

  next(length: number): Buffer {
    const key = createHash('sha256').update(`${this.#seed} ${this.#counter}`).digest();
    const compressible = this.#counter % 2 === 1;
    this.#counter += 1;
    const bytes = createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
    if (compressible) for (let at = PAGE; at < length; at += PAGE) bytes.copyWithin(at, 0, PAGE);
    return bytes;
  }
}

/** Where the guest's files lie at first: about a third of the disk, in pieces of 1 to 12 MiB. */
export function* firstFiles(size: number): Generator<{ offset: number; length: number }> {
  let offset = 0;
  for (let piece = 0; offset < size; piece++) {
    const length = Math.min(((piece * 7) % 12) + 1, (size - offset) / MiB) * MiB;
    yield { offset, length };
    offset += length + (((piece * 11) % 25) + 1) * MiB;
  }
}
