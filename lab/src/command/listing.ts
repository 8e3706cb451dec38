import { command } from './command.js';

export interface ListedBackup {
  readonly id: string;
  /** Bytes of the disks that were read, and that the backup takes. */
  readonly read: number;
  readonly stored: number;
}

/** What `vbackup list --json` says, oldest first. */
export async function listedBackups(environment: NodeJS.ProcessEnv): Promise<ListedBackup[]> {
  const { code, stdout, stderr } = await command(['list', '--json'], { environment });
  if (code !== 0) throw new Error(`vbackup list ended with exit code ${code}\n${stderr}`);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line))
    .flatMap((entry) => (isListed(entry) ? [listed(entry.backup)] : []));
}

interface Entry {
  readonly backup: { readonly id: string; readonly disks: readonly { readLength: number; storedLength: number }[] };
}

const isListed = (entry: unknown): entry is Entry =>
  typeof entry === 'object' && entry !== null && 'backup' in entry && 'command' in entry && entry.command === 'list';

const listed = ({ id, disks }: Entry['backup']): ListedBackup => ({
  id,
  read: disks.reduce((total, disk) => total + disk.readLength, 0),
  stored: disks.reduce((total, disk) => total + disk.storedLength, 0),
});
