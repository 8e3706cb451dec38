import type { XenObject } from './model/xen-object.js';
import { XapiFailure } from './rpc/call.js';
import type { XenValue } from './rpc/value.js';
import type { HostState } from './state.js';

/** Does the work and writes its result or its failure into the task, unless a fault wants another end. Never rejects. */
export async function runTask(
  state: HostState,
  task: XenObject,
  name: string,
  work: () => Promise<XenValue>,
): Promise<void> {
  const outcome = state.faults.takeTask(name)?.outcome;
  try {
    if (outcome === 'stuck') return;
    if (outcome === 'cancelled') return state.tasks.cancel(task);
    if (outcome !== undefined) throw new XapiFailure(...outcome);
    state.tasks.succeed(task, await work());
  } catch (error) {
    state.tasks.fail(task, error);
  }
}
