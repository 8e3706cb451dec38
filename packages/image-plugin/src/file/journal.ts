import type { JsonObject, Leftover } from '@vbackup/core';

/** The only thing that a backup leaves outside of the repository: the folder of a server, and the server itself. */
export const journalEntry = (folder: string): JsonObject => ({ step: 'qemu-nbd', folder });

/** Ends what a run that died left running on this machine. On another machine there is nothing, and nothing is done. */
export async function recoverLeftover({ entries }: Leftover): Promise<void> {
  for (const { step, folder } of entries) {
    if (step !== 'qemu-nbd' || typeof folder !== 'string') continue;
    const { removeQemuFolder } = await import('@vbackup/core/qemu');
    await removeQemuFolder(folder);
  }
}
