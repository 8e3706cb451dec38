import type { Warning } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { chooseDisk, type DiskChoice, type DomainDescription } from '../domain/index.js';

export type ReadChoice = Extract<DiskChoice, { readonly kind: 'tracked' | 'untracked' }>;

/** Bytes per cluster of its image; null if they are not known. */
export const clusterLengthOf = (choice: ReadChoice): number | null =>
  choice.kind === 'tracked' ? (choice.clusterLength ?? null) : null;

export interface ChosenDisks {
  readonly disks: readonly ReadChoice[];
  /** Target names of the domain's other disks. */
  readonly others: readonly string[];
}

export interface Choosing {
  /** The target name of the only disk that is wanted; null for all. */
  readonly only: string | null;
  readonly excluded: readonly string[];
  readonly warn: (warning: Warning) => void;
}

/** @throws VBackupError VB_LIBVIRT_DISK, VB_LIBVIRT_NO_DISKS, VB_LIBVIRT_JOB */
export function chooseDisks(domain: DomainDescription, { only, excluded, warn }: Choosing): ChosenDisks {
  const wanted = domain.disks.filter(({ target }) => only === null || target === only);
  const choices = wanted.map((disk) => chooseDisk(disk, only === null ? excluded : []));
  for (const target of only === null ? excluded : []) {
    if (domain.disks.some((disk) => disk.target === target)) continue;
    warn({ code: 'VB_LIBVIRT_DISK', message: `the domain ${domain.name} has no disk ${target} to exclude` });
  }
  for (const choice of choices) {
    if (choice.kind !== 'left-out') continue;
    const message = `disk ${choice.disk.target} of ${domain.name} is left out: ${choice.reason}`;
    if (only !== null) throw new VBackupError('VB_LIBVIRT_DISK', message);
    if (choice.surprising) warn({ code: 'VB_LIBVIRT_DISK', message });
  }
  const disks = choices.filter((choice) => choice.kind !== 'left-out');
  if (disks.length === 0)
    throw new VBackupError('VB_LIBVIRT_NO_DISKS', `the domain ${domain.name} has no disk to read`);
  const moving = disks.find(({ disk }) => disk.mirrored);
  if (moving !== undefined) {
    throw new VBackupError(
      'VB_LIBVIRT_JOB',
      `disk ${moving.disk.target} of ${domain.name} is being moved to another image`,
      {
        cure: 'wait until it is moved (virsh blockjob)',
      },
    );
  }
  const chosen = new Set(disks.map(({ disk }) => disk.target));
  const others = domain.disks.map(({ target }) => target).filter((target) => !chosen.has(target));
  return { disks, others };
}
