import { RequestError, UnsupportedError, type VBackupError } from '../errors/index.js';
import {
  NBD_EINVAL,
  NBD_EIO,
  NBD_ENOMEM,
  NBD_ENOSPC,
  NBD_ENOTSUP,
  NBD_EOVERFLOW,
  NBD_EPERM,
  NBD_ESHUTDOWN,
} from './words.js';

const NAMES: ReadonlyMap<number, string> = new Map([
  [NBD_EPERM, 'EPERM'],
  [NBD_EIO, 'EIO'],
  [NBD_ENOMEM, 'ENOMEM'],
  [NBD_EINVAL, 'EINVAL'],
  [NBD_ENOSPC, 'ENOSPC'],
  [NBD_EOVERFLOW, 'EOVERFLOW'],
  [NBD_ENOTSUP, 'ENOTSUP'],
  [NBD_ESHUTDOWN, 'ESHUTDOWN'],
]);

/** What a server said against one request. */
export interface ServerFault {
  readonly errno: number;
  /** The server's own words; may be empty. */
  readonly message: string;
  /** The byte of the disk that it could not serve, where it says so. */
  readonly offset?: number | undefined;
}

/** The fault as an error of the request `what`, e.g. `read 4096 bytes at 0`. */
export function serverError(fault: ServerFault, what: string): VBackupError {
  const name = NAMES.get(fault.errno) ?? `error ${fault.errno}`;
  const at = fault.offset === undefined ? '' : ` at byte ${fault.offset}`;
  const words = fault.message === '' ? '' : `: ${fault.message}`;
  const text = `the NBD server could not ${what}: ${name}${at}${words}`;
  if (fault.errno === NBD_EPERM) return new RequestError('VB_NBD_READ_ONLY', text);
  if (fault.errno === NBD_ENOSPC) return new RequestError('VB_NO_SPACE', text);
  if (fault.errno === NBD_ENOTSUP) return new UnsupportedError('VB_UNSUPPORTED', text);
  return new RequestError('VB_NBD_REQUEST_FAILED', text);
}
