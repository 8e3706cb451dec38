import { createCipheriv, createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MiB = 1024 * 1024;
const BLOCK_LENGTH = 4096;
const CHUNK_LENGTH = 16 * MiB;
/** Everything that looks random comes from this: the same bytes each time. */
const SEED = 'vbackup bench';
/** As many data extents as a used disk image has. */
const USED_EXTENT_COUNT = 450;
/** What changes of a busy guest look like in a dirty bitmap. */
export const FRAGMENT_LENGTH = 64 * 1024;

/** Real files, in a fixed order: programs and libraries of the machine, and texts of the checkout. */
const FILE_FOLDERS = [fileURLToPath(new URL('../../../node_modules', import.meta.url)), '/usr/lib', '/usr/bin'];
const LARGEST_FILE = 64 * MiB;

/** Bytes that do not compress, the same for the same name. */
export class RandomBytes {
  readonly #cipher;

  constructor(name: string) {
    const key = createHash('sha256').update(`${SEED} ${name}`).digest();
    this.#cipher = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16, 32));
  }

  take(length: number): Buffer {
    return this.#cipher.update(Buffer.alloc(length));
  }
}

/** A disk of which no byte is like another. */
export async function writeRandomDisk(path: string, size: number): Promise<void> {
  const random = new RandomBytes('random');
  await using file = await open(path, 'w');
  for (let at = 0; at < size; at += CHUNK_LENGTH) await put(file, at, random.take(Math.min(CHUNK_LENGTH, size - at)));
  await file.sync();
}

/** A sparse disk, half of it holes between 450 extents. */
export async function writeHalfEmptyDisk(path: string, size: number): Promise<void> {
  const random = new RandomBytes('half empty');
  const step = Math.ceil(size / USED_EXTENT_COUNT / BLOCK_LENGTH / 2) * BLOCK_LENGTH * 2;
  await using file = await open(path, 'w');
  await file.truncate(size);
  for (let at = 0; at < size; at += step) await put(file, at, random.take(Math.min(step / 2, size - at)));
  await file.sync();
}

/** Where a disk of `size` bytes is written in pieces of 64 KiB with as much between them: 16,384 in 2 GiB. */
export function* fragments(size: number): Generator<{ readonly offset: number; readonly bytes: Buffer }> {
  const random = new RandomBytes('fragments');
  for (let offset = 0; offset + FRAGMENT_LENGTH <= size; offset += 2 * FRAGMENT_LENGTH) {
    yield { offset, bytes: random.take(FRAGMENT_LENGTH) };
  }
}

/** A disk as a file system without holes would fill it: files that are on this machine, one after the other. */
export async function writeDiskOfFiles(path: string, size: number): Promise<void> {
  await using file = await open(path, 'w');
  let at = 0;
  while (at < size) {
    const start = at;
    for (const name of walk(FILE_FOLDERS)) {
      const bytes = readFileSync(name).subarray(0, size - at);
      await put(file, at, bytes);
      at = Math.min(size, Math.ceil((at + bytes.length) / BLOCK_LENGTH) * BLOCK_LENGTH);
      if (at === size) break;
    }
    if (at === start) throw new Error(`no files in ${FILE_FOLDERS.join(', ')}`);
  }
  await file.truncate(size);
  await file.sync();
}

/** Regular files that hold something, sorted; links are not followed, so that no file comes twice. */
function* walk(folders: readonly string[]): Generator<string> {
  for (const folder of folders) {
    const entries = readdirSync(folder, { withFileTypes: true }).sort((left, right) =>
      left.name < right.name ? -1 : 1,
    );
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) yield* walk([path]);
      else if (entry.isFile() && isUseful(statSync(path).size)) yield path;
    }
  }
}

const isUseful = (size: number): boolean => size > 0 && size <= LARGEST_FILE;

async function put(file: FileHandle, offset: number, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
  }
}
