import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { systemCode, withIo } from './io-error.js';

/** What an unfinished file is called; it counts for nothing. */
export const PARTIAL_SUFFIX = '.partial';

/** Makes the names in a folder durable, where the file system can do that. */
export async function syncDirectory(path: string): Promise<void> {
  await withIo(`cannot sync ${path}`, async () => {
    await using directory = await open(path, 'r');
    try {
      await directory.sync();
    } catch (error) {
      // fsync(2): this file system knows no sync of a folder.
      if (systemCode(error) !== 'EINVAL') throw error;
    }
  });
}

/** Makes a folder and its parents; the names are durable when it returns. */
export async function makeDirectory(path: string): Promise<void> {
  await withIo(`cannot make the folder ${path}`, async () => {
    const first = await makeFolders(path);
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
  });
}

/** The first folder that was made. Node's own `recursive` never returns where nothing can be made, as in /proc. */
async function makeFolders(path: string): Promise<string | undefined> {
  if (await isFolder(path)) return undefined;
  const parent = dirname(path);
  const first = parent === path ? undefined : await makeFolders(parent);
  try {
    await mkdir(path);
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
    // Another process may have been quicker, to make it or to remove it again.
    const found = await ignoringMissing(() => stat(path));
    if (found === null) return await makeFolders(path);
    if (found.isDirectory()) return first;
    const cure = 'name another folder, or move away what stands there';
    throw new VBackupError('VB_IO', `${path} is not a folder`, { cause: error, cure });
  }
  return first ?? path;
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/** Writes a whole small file under its final name in one step: partial, fsync, rename, fsync of the folder. */
export async function writeDurably(path: string, content: string | Buffer): Promise<void> {
  const partial = `${path}${PARTIAL_SUFFIX}`;
  await withIo(`cannot write ${path}`, async () => {
    try {
      {
        await using file = await open(partial, 'w', 0o640);
        await file.writeFile(content);
        await file.sync();
      }
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  });
  await syncDirectory(dirname(path));
}

/** Gives a synced partial file its name, durably. */
export async function publish(path: string): Promise<void> {
  await withIo(`cannot rename ${path}${PARTIAL_SUFFIX}`, () => rename(`${path}${PARTIAL_SUFFIX}`, path));
  await syncDirectory(dirname(path));
}

/** Fills `target` from `position` on; returns less than its length where the file ends before. */
export async function readFully(file: Pick<FileHandle, 'read'>, target: Uint8Array, position: number): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const { bytesRead } = await file.read(target, filled, target.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** Writes all of `bytes` from `position` on. @throws VBackupError VB_NO_SPACE where nothing more is taken */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written, position + written);
    if (bytesWritten === 0)
      throw new VBackupError('VB_NO_SPACE', `nothing more is taken at byte ${position + written}`);
    written += bytesWritten;
  }
}

/** Whether a name exists; whatever else is wrong with it is an error. */
export async function ignoringMissing<Result>(work: () => Promise<Result>): Promise<Result | null> {
  try {
    return await work();
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw error;
  }
}
