import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { ConfigurationFile } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';

/** The files of `--conf`, each under its own name. @throws VBackupError VB_FILE_NOT_FOUND, VB_IO, VB_ACCESS_DENIED */
export async function readConfigs({ invocation, world }: CommandContext): Promise<ConfigurationFile[]> {
  const { withIo } = await import('@vbackup/core/storage');
  const files: ConfigurationFile[] = [];
  for (const name of invocation.options.texts('conf')) {
    const path = resolve(world.cwd, name);
    const content = await withIo(`cannot read ${name}`, async () => {
      try {
        return await readFile(path);
      } catch (cause) {
        if (!(cause instanceof Error) || !('code' in cause) || cause.code !== 'ENOENT') throw cause;
        throw new VBackupError('VB_FILE_NOT_FOUND', `there is no ${name}`, { cause, cure: 'check the name' });
      }
    });
    files.push({ name: basename(path), content });
  }
  return files;
}
