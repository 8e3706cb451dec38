import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readlink, stat, statfs } from 'node:fs/promises';
import { VBackupError } from '../errors/index.js';
import { systemCode, withIo } from '../storage/io-error.js';
import { chooseMethod } from './choose-method.js';
import { deviceSize } from './device-size.js';
import { fileSystemName, fileSystemWarning, isMadeByTheKernel } from './file-systems.js';
import type { Filemap, FilemapOptions } from './filemap.js';
import type { Descriptor, Libc } from './libc.js';
import { loadLibc } from './load-libc.js';
import { METHODS } from './map-methods.js';
import type { MapSource } from './map-source.js';
import { MappedFile } from './mapped-file.js';

/**
 * Opens a regular file or a block device to see which parts of it hold data. Links are followed. An open file is opened
 * once more (by /proc/self/fd), so that its owner's file offset stays where it is; it must be readable to this process.
 * @throws VBackupError VB_FILE_TYPE for anything else; VB_UNSUPPORTED or VB_QEMU_MISSING if the method that was named
 * cannot be used here; VB_ACCESS_DENIED, VB_NUMBER_TOO_LARGE, VB_IO
 */
export async function openFilemap(file: string | Descriptor, options: FilemapOptions = {}): Promise<Filemap> {
  const path = typeof file === 'string' ? file : `/proc/self/fd/${file.fd}`;
  const name = typeof file === 'string' ? file : await withIo(`cannot name ${path}`, () => readlink(path));
  return withIo(`cannot open ${name}`, async () => {
    const handle = await openMappable(path, name);
    try {
      return await openHandle(handle, { path, name }, options);
    } catch (error) {
      await handle.close();
      throw error;
    }
  });
}

/**
 * A file or device, open for reading. Nothing else is even opened: a pipe would wait for its writer, a tape rewinds.
 * @throws VBackupError VB_FILE_TYPE, VB_ACCESS_DENIED, VB_IO
 */
export function openMappable(path: string, name = path): Promise<FileHandle> {
  return withIo(`cannot open ${name}`, async () => {
    assertType(await stat(path), name);
    // What is a pipe by now must not keep us waiting either; on files and devices the flag means nothing.
    return open(path, constants.O_RDONLY + constants.O_NONBLOCK);
  });
}

async function openHandle(
  file: FileHandle,
  { path, name }: { readonly path: string; readonly name: string },
  options: FilemapOptions,
): Promise<Filemap> {
  const libc = options.libc === undefined ? await loadLibc() : options.libc;
  const found = await file.stat();
  assertType(found, name);
  const fileSystem = fileSystemName((await statfs(path)).type);
  const isBlockDevice = found.isBlockDevice();
  if (!isBlockDevice && isMadeByTheKernel(fileSystem)) throw typeError(name, `a file of ${fileSystem}`);
  const size = isBlockDevice ? await deviceSize(file, libc) : found.size;
  if (!Number.isSafeInteger(size)) throw new VBackupError('VB_NUMBER_TOO_LARGE', `${name} has ${size} bytes`);
  const blockSize = blockSizeOf(file, found, libc);
  const source: MapSource = { path: name, file, size, blockSize, isBlockDevice, libc };
  const method = await chooseMethod(source, options);
  const warning = fileSystemWarning(fileSystem, { path: name, method });
  if (warning !== undefined) options.onWarning?.(warning);
  const close = (): Promise<void> => file.close();
  return new MappedFile({ source, method, fileSystem, batches: METHODS[method].map, close });
}

function assertType(found: Stats, name: string): void {
  if (found.isFile() || found.isBlockDevice()) return;
  if (found.isDirectory()) throw typeError(name, 'a directory');
  if (found.isFIFO()) throw typeError(name, 'a pipe');
  if (found.isSocket()) throw typeError(name, 'a socket');
  throw typeError(name, 'a character device');
}

const typeError = (name: string, what: string): VBackupError =>
  new VBackupError('VB_FILE_TYPE', `${name} is ${what}`, { cure: 'name a disk image or a block device' });

/** FIGETBSZ, or the sector of a device; st_blksize where these cannot be had (it is 4096 even on xfs with 1 KiB). */
function blockSizeOf(file: Descriptor, found: Stats, libc: Libc | null): number {
  try {
    const length = found.isBlockDevice() ? libc?.sectorSize(file) : libc?.blockSize(file);
    return length === undefined || length <= 0 ? found.blksize : length;
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return found.blksize;
  }
}
