import { resolve } from 'node:path';
import type { FoundBackup, Hypervisor, Repository } from '@vbackup/core';
import { EXIT } from '../exit-codes.js';
import { usageError } from '../usage.js';
import { writeArchiveTo } from '../vma/write-archive-to.js';
import type { CommandContext, Outcome } from './command.js';
import { exportDisks } from './export-disks.js';

/** Qmrestore gives the guest the number that it is told; this one only stands in the names of volumes. */
const ANY_VMID = 100;

/** Options that only an archive has. */
const ARCHIVE_OPTIONS = ['compress', 'uuid', 'pve-storage'] as const;

/** Writes a backup in the format of other tools. */
export async function exportBackup(context: CommandContext): Promise<Outcome> {
  const { invocation } = context;
  const [format, reference, target] = invocation.operands;
  if (reference === undefined || target === undefined) throw usageError('export needs a backup and a target');
  if (format !== 'vma') refuseArchiveOptions(context, format ?? '');
  const found = await backupOf(context, reference);
  if (format === 'raw' || format === 'qcow2') {
    const { repository, manifest, disk: named } = found;
    const done = await exportDisks(context, { repository, manifest, named, format, target });
    return { done, failed: 0, exitCode: EXIT.done };
  }
  const { BackupHypervisor, pveShape } = await import('@vbackup/core/backup/archive');
  await using hypervisor = new BackupHypervisor(found);
  if (format === 'stream') {
    await exportStream(context, { hypervisor, found, target });
  } else {
    await writeArchiveTo(context, {
      hypervisor,
      hypervisorName: found.manifest.hypervisor,
      selector: found.manifest.id,
      notes: null,
      command: 'export',
      target,
      shape: pveShape({ vmid: ANY_VMID, storage: invocation.options.text('pve-storage') }),
    });
  }
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

type Found = FoundBackup & { readonly repository: Repository };

async function backupOf(context: CommandContext, reference: string): Promise<Found> {
  const { invocation, signal } = context;
  const repository = await context.repository({ create: false });
  const { findBackup } = await context.work();
  const found = findBackup(await repository.catalogue({ signal }), reference);
  return { repository, manifest: found.manifest, disk: invocation.options.text('disk') ?? found.disk };
}

interface StreamRequest {
  readonly hypervisor: Hypervisor;
  readonly found: Found;
  readonly target: string;
}

async function exportStream(context: CommandContext, { hypervisor, found, target }: StreamRequest): Promise<void> {
  const { world, output, signal } = context;
  const { exportStream: write } = await import('@vbackup/core/backup/archive');
  const { disks, elapsedMs } = await write({
    hypervisor,
    hypervisorName: found.manifest.hypervisor,
    selector: found.manifest.id,
    folder: resolve(world.cwd, target),
    onEvent: output.work,
    signal,
  });
  const item = { type: 'summary', scope: 'item', command: 'export' } as const;
  output.item({ ...item, id: found.manifest.id, folder: target, disks, elapsedMs });
}

function refuseArchiveOptions({ invocation }: CommandContext, format: string): void {
  const { options } = invocation;
  const text = ARCHIVE_OPTIONS.find((name) => options.text(name) !== undefined);
  const given = text ?? (['ctime', 'pve'] as const).find((name) => options.number(name) !== undefined);
  if (given !== undefined) throw usageError(`--${given} is about VMA archives, and the format is ${format}`);
}
