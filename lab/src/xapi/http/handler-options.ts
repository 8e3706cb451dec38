import type { Dispatcher } from '../dispatcher.js';
import type { HostState } from '../state.js';

/** What every listener of a host needs. */
export interface HandlerOptions {
  readonly state: HostState;
  readonly dispatcher: Dispatcher;
  readonly shutdown: AbortSignal;
  /** This listener is another member of the pool: calls get HOST_IS_SLAVE, disks are served. */
  readonly masterAddress?: string | undefined;
}
