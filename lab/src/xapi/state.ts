import type { Faults } from './faults.js';
import type { Database } from './model/database.js';
import type { Disks } from './model/disks.js';
import type { Sessions } from './model/sessions.js';
import type { Tasks } from './model/tasks.js';
import type { XenObject } from './model/xen-object.js';

export interface HostSettings {
  readonly user: string;
  readonly password: string;
  /** How long `VDI.data_destroy` waits for VBDs to vanish; 4 s on a real host. */
  readonly dataDestroyWaitMs: number;
  /** `VDI.create` rounds sizes up to a multiple of this, as a VHD needs it. */
  readonly sizeMultiple: number;
}

/** All that the methods and handlers of one host share. */
export interface HostState {
  readonly db: Database;
  readonly disks: Disks;
  readonly sessions: Sessions;
  readonly tasks: Tasks;
  readonly faults: Faults;
  readonly settings: HostSettings;
  readonly pool: XenObject;
  readonly master: XenObject;
  /** dom0, which the NBD server plugs disks into. */
  readonly controlDomain: XenObject;
  /** PEM of the certificate that HTTPS and NBD show. */
  readonly certificate: string;
  /** Where NBD listens; undefined as long as it does not. */
  nbdPort: number | undefined;
}
