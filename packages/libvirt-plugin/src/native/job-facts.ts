import { JOB_OPERATIONS, JOB_STATES, type JobFacts } from '../connection/index.js';
import type { ParameterValue } from './typed-parameters.js';

/**
 * What the parameters of virDomainGetJobStats and of the event of a completed job say.
 * @param type - virDomainJobType; null for the event, which has none
 */
export function jobFacts(type: number | null, parameters: ReadonlyMap<string, ParameterValue>): JobFacts {
  const success = parameters.get('success');
  const message = parameters.get('errmsg');
  const operation = parameters.get('operation');
  return {
    state: type === null ? (success === false ? 'failed' : 'completed') : (JOB_STATES[type] ?? 'unknown'),
    operation: (typeof operation === 'number' ? JOB_OPERATIONS[operation] : undefined) ?? 'unknown',
    success: typeof success === 'boolean' ? success : null,
    message: typeof message === 'string' ? message : null,
    scratchUsed: bytesOf(parameters.get('disk_temp_used')),
    scratchTotal: bytesOf(parameters.get('disk_temp_total')),
  };
}

const bytesOf = (value: ParameterValue | undefined): number | null => (typeof value === 'number' ? value : null);
