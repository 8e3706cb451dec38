import type { BlockReader, NbdConnectOptions } from '@vbackup/core';

/** Opens an export of an NBD server. Inject another one to read the pool's disks differently. */
export type NbdOpener = (options: NbdConnectOptions) => Promise<BlockReader>;
