import type { Diagnosis } from '@vbackup/core';
import { EXIT } from '../exit-codes.js';
import { failureOf } from '../failure.js';
import type { CommandContext, Outcome } from './command.js';
import { connect } from './connection.js';
import { machineDiagnoses } from './machine-diagnoses.js';
import { repositoryDiagnoses } from './repository-diagnoses.js';

/** Asks for every condition of a backup, and names the cure of what is not as it should be. */
export async function doctor(context: CommandContext): Promise<Outcome> {
  let done = 0;
  let failed = 0;
  for await (const diagnosis of diagnoses(context)) {
    context.output.item({ type: 'summary', scope: 'item', command: 'doctor', ...diagnosis });
    if (diagnosis.state === 'bad') failed++;
    else done++;
  }
  return { done, failed, exitCode: failed > 0 ? EXIT.failed : EXIT.done };
}

async function* diagnoses(context: CommandContext): AsyncGenerator<Diagnosis> {
  yield* machineDiagnoses(context);
  yield* guarded('configuration', configurationDiagnosis(context));
  yield* guarded('repository', repositoryDiagnoses(context));
  const hypervisor = context.invocation.options.text('hypervisor');
  if (hypervisor !== undefined) yield* guarded(hypervisor, hypervisorDiagnoses(context, hypervisor));
}

/** A check that cannot be made is a finding, and the next one is made all the same. */
async function* guarded(name: string, checks: AsyncIterable<Diagnosis>): AsyncGenerator<Diagnosis> {
  try {
    yield* checks;
  } catch (error) {
    const { code, message, cure } = failureOf(error);
    yield { name, state: 'bad', detail: `${message} [${code}]`, cure };
  }
}

async function* configurationDiagnosis(context: CommandContext): AsyncGenerator<Diagnosis> {
  const { path } = await context.configuration();
  yield { name: 'configuration', state: 'good', detail: path ?? 'none: every setting has its default' };
}

async function* hypervisorDiagnoses(context: CommandContext, name: string): AsyncGenerator<Diagnosis> {
  const { signal } = context;
  await using connection = await connect(context, name);
  yield { name, state: 'good', detail: 'connected' };
  if (connection.hypervisor.diagnose !== undefined) yield* connection.hypervisor.diagnose({ signal });
}
