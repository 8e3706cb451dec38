import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { VerifySource } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import { usageError } from '../usage.js';

/** An archive to read, as the command line names it. */
export interface ArchiveSource {
  /** As it was written. */
  readonly name: string;
  /** Absolute; undefined for standard input. */
  readonly path: string | undefined;
  /** Its bytes, as they are stored; asked for once. */
  chunks(): AsyncIterable<Buffer>;
}

/**
 * A file, a pipe with a name, or `-`.
 * @param name - default: the first operand
 * @throws VBackupError VB_FILE_NOT_FOUND, VB_FILE_TYPE, VB_CLI_USAGE
 */
export async function archiveSource(
  { invocation, world, signal }: CommandContext,
  name: string | undefined = invocation.operands[0],
): Promise<ArchiveSource> {
  if (name === undefined) throw usageError('no archive was named', 'name a file, or - for standard input');
  if (name === '-') return { name, path: undefined, chunks: () => world.stdin() };
  const path = resolve(world.cwd, name);
  await checkReadable(name, path);
  const { fileChunks } = await import('@vbackup/core/vma/header');
  return { name, path, chunks: () => fileChunks(path, signal) };
}

/** As {@link archiveSource} found it: a file may be read at any place. */
export const verifySource = (source: ArchiveSource): VerifySource =>
  source.path === undefined ? { stream: source.chunks() } : { path: source.path };

async function checkReadable(name: string, path: string): Promise<void> {
  try {
    if (!(await stat(path)).isDirectory()) return;
  } catch (cause) {
    if (!(cause instanceof Error) || !('code' in cause)) throw cause;
    // Anything else that is in the way is told by whoever opens it.
    if (cause.code !== 'ENOENT' && cause.code !== 'ENOTDIR') return;
    throw new VBackupError('VB_FILE_NOT_FOUND', `there is no ${name}`, {
      cause,
      cure: 'check the name of the archive',
    });
  }
  throw new VBackupError('VB_FILE_TYPE', `${name} is a folder`, { cure: 'name the archive in it' });
}
