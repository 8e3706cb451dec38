import { createWriteStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { VmaArchive } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';
import type { ArchiveSource } from './archive-source.js';

export interface OpenedSource extends AsyncDisposable {
  readonly archive: VmaArchive;
}

/**
 * Opens an archive for random access. One that is compressed, or comes from a pipe, is unpacked into a file in `folder`
 * that has no name, and is gone with this process.
 */
export async function openAnyArchive(
  context: CommandContext,
  source: ArchiveSource,
  folder: () => Promise<string>,
): Promise<OpenedSource> {
  const { signal } = context;
  const { withIo } = await import('@vbackup/core/storage');
  const { openCompressed, openVmaArchive } = await import('@vbackup/core/vma');
  const { compression, bytes } = await openCompressed(source.chunks(), { signal });
  if (compression === 'none' && source.path !== undefined) {
    await bytes.return();
    const archive = await openVmaArchive(source.path, { signal });
    return { archive, [Symbol.asyncDispose]: async () => archive[Symbol.asyncDispose]() };
  }
  const place = await folder();
  await withIo(`cannot make ${place}`, () => mkdir(place, { recursive: true }));
  const path = join(place, `.unpacked-${process.pid}.vma`);
  const file = await withIo(`cannot make ${path}`, () => open(path, 'wx', 0o600));
  try {
    // Its name is taken away at once: nothing is left of it, however this ends.
    await rm(path);
    const name = `/proc/self/fd/${file.fd}`;
    await withIo(`cannot unpack ${source.name} into ${place}`, () =>
      pipeline(bytes, createWriteStream(name), { signal }),
    );
    const archive = await openVmaArchive(name, { signal });
    const dispose = async (): Promise<void> => {
      await archive[Symbol.asyncDispose]();
      await file.close();
    };
    return { archive, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await file.close();
    throw error;
  }
}
