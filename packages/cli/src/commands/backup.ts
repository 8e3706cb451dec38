import type { BackupJob } from '@vbackup/core';
import { EXIT, exitCodeOfAll } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import { usageError } from '../usage.js';
import type { CommandContext, Outcome } from './command.js';
import { connect } from './connection.js';

/** Backs up one selector after the other; one that fails does not stop the others. */
export async function backup(context: CommandContext): Promise<Outcome> {
  const { invocation, output, signal } = context;
  const { options } = invocation;
  const selectors = [...new Set(invocation.operands)];
  const hypervisorName = options.text('hypervisor');
  if (hypervisorName === undefined) throw usageError('--hypervisor is missing');
  await using connection = await connect(context, hypervisorName);
  const { hypervisor } = connection;
  const settings = await settingsOf(context);
  const repository = await context.repository({ create: true });
  const { runBackup } = await context.work();
  const exitCodes: number[] = [];
  for (const selector of selectors) {
    try {
      const job = { hypervisor, hypervisorName, repository, selector, signal, onEvent: output.work, ...settings };
      const { manifest, elapsedMs } = await runBackup(job);
      output.item({ type: 'summary', scope: 'item', command: 'backup', backup: manifest, elapsedMs });
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

type Settings = Pick<BackupJob, 'level' | 'compression' | 'connections' | 'auditShares'>;

async function settingsOf(context: CommandContext): Promise<Settings> {
  const { options } = context.invocation;
  const configuration = await context.configuration();
  const level = LEVELS.find((known) => known === options.text('level'));
  const compression = COMPRESSIONS.find((known) => known === options.text('compress')) ?? configuration.compress;
  const connections = options.number('connections') ?? configuration.connections;
  return { level, compression, connections, auditShares: options.number('audit') ?? configuration.audit };
}

const LEVELS = ['auto', 'full', 'inc', 'diff', 'copy'] as const;
const COMPRESSIONS = ['lz4', 'none'] as const;
