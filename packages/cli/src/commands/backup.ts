import type { BackupJob, Hypervisor } from '@vbackup/core';
import { EXIT, exitCodeOfAll } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import { limiterOf } from '../limit-rate.js';
import { usageError } from '../usage.js';
import { archiveNotes } from '../vma/archive-notes.js';
import { writeArchiveTo } from '../vma/write-archive-to.js';
import type { CommandContext, Outcome } from './command.js';
import { connect } from './connection.js';

/** Backs up one selector after the other; one that fails does not stop the others. */
export async function backup(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const selectors = [...new Set(invocation.operands)];
  const hypervisorName = options.text('hypervisor');
  if (hypervisorName === undefined) throw usageError('--hypervisor is missing');
  checkFormat(context);
  await using connection = await connect(context, hypervisorName);
  const { hypervisor } = connection;
  if (options.text('format') === 'vma') return await backUpToArchive(context, { hypervisor, hypervisorName });
  const settings = await settingsOf(context);
  const repository = await context.repository({ create: true });
  const { runBackup } = await context.work();
  const exitCodes: number[] = [];
  for (const selector of selectors) {
    try {
      const job = { hypervisor, hypervisorName, repository, selector, signal, onEvent: output.work, ...settings };
      const { manifest, elapsedMs } = await runBackup(job);
      const place = await context.repositoryPath();
      output.item({
        type: 'summary',
        scope: 'item',
        command: 'backup',
        backup: manifest,
        repository: place,
        elapsedMs,
      });
      exitCodes.push(EXIT.done);
    } catch (error) {
      if (selectors.length === 1 || signal.aborted) throw error;
      const failure = failureOf(error);
      output.error(failure, selector);
      exitCodes.push(failure.exitCode);
    }
  }
  const done = exitCodes.filter((code) => code === EXIT.done).length;
  return { done, failed: exitCodes.length - done, exitCode: exitCodeOfAll(exitCodes) };
}

/** Whole, in one pass, and without a repository. */
async function backUpToArchive(context: CommandContext, source: ArchiveSource): Promise<Outcome> {
  const { operands, options } = context.invocation;
  const [selector, ...others] = new Set(operands);
  const target = options.text('output');
  if (target === undefined) throw usageError('--format vma needs an --output', 'name a file, or - for standard output');
  if (selector === undefined || others.length > 0) {
    throw usageError(
      'an archive is of one machine',
      'name one; of several disks, vbackup vma create makes one archive',
    );
  }
  const { pveShape } = await import('@vbackup/core/backup/archive');
  await writeArchiveTo(context, {
    ...source,
    selector,
    connections: options.number('connections') ?? (await context.configuration()).connections,
    notes: await archiveNotes(context),
    command: 'backup',
    target,
    shape: pveShape({ vmid: ANY_VMID, storage: options.text('pve-storage') }),
  });
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

interface ArchiveSource {
  readonly hypervisor: Hypervisor;
  readonly hypervisorName: string;
}

/** Options that make sense only with an archive, or only without one. */
function checkFormat({ invocation: { options } }: CommandContext): void {
  const archive = options.text('format') === 'vma';
  const compress = options.text('compress');
  if (compress === (archive ? 'lz4' : 'zstd')) {
    const cure = archive ? 'zstd is what Proxmox VE takes' : 'zstd is for --format vma';
    throw usageError(`--compress ${compress} does not go with this`, cure);
  }
  const given = (name: string): boolean =>
    options.text(name) !== undefined || options.number(name) !== undefined || options.flag(name);
  const foreign = (archive ? NOT_OF_ARCHIVES : ONLY_OF_ARCHIVES).find(given);
  if (foreign === undefined) return;
  const why = archive ? 'is about backups in a repository' : 'is about --format vma';
  throw usageError(`--${foreign} ${why}`, 'leave it out');
}

const ONLY_OF_ARCHIVES = ['output', 'pve', 'pve-storage', 'force'] as const;
const NOT_OF_ARCHIVES = ['level', 'audit', 'concurrency'] as const;
/** Qmrestore gives the guest the number that it is told; this one only stands in the names of volumes. */
const ANY_VMID = 100;

type Settings = Pick<BackupJob, 'level' | 'compression' | 'connections' | 'concurrency' | 'auditShares' | 'limiter'>;

async function settingsOf(context: CommandContext): Promise<Settings> {
  const { options } = context.invocation;
  const configuration = await context.configuration();
  const level = LEVELS.find((known) => known === options.text('level'));
  const compression = COMPRESSIONS.find((known) => known === options.text('compress')) ?? configuration.compress;
  const connections = options.number('connections') ?? configuration.connections;
  return {
    level,
    compression,
    connections,
    concurrency: options.number('concurrency'),
    auditShares: options.number('audit') ?? configuration.audit,
    // One for all that is backed up: they come one after the other.
    limiter: await limiterOf(options.number('limit-rate')),
  };
}

const LEVELS = ['auto', 'full', 'inc', 'diff', 'copy'] as const;
const COMPRESSIONS = ['lz4', 'none'] as const;
