import { constants } from 'node:os';

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** A system call refused, in the shape of Node's own errors: `code` is the name of the errno. */
export class SystemCallError extends Error {
  /** `ENXIO`, `EOPNOTSUPP`, …; `E53` where the number has no name here. */
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number) {
    // Linux gives EOPNOTSUPP and ENOTSUP one number; its manual pages say EOPNOTSUPP.
    const code = errno === constants.errno.EOPNOTSUPP ? 'EOPNOTSUPP' : (NAMES.get(errno) ?? `E${errno}`);
    super(`${syscall}: ${code}`);
    this.name = 'SystemCallError';
    this.code = code;
    this.errno = errno;
    this.syscall = syscall;
  }
}

/** Whether a system call failed with one of these errnos. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof SystemCallError && codes.includes(error.code);
}

/**
 * Whether storage or memory gave out, so that doing the same in another way would fail as well. Whatever else refuses a
 * reflink or a copy by the kernel (a policy, a file server, a kernel of its own mind) leaves the plain way open.
 */
export const isExhausted = (error: unknown): boolean => isErrno(error, 'EIO', 'ENOMEM', 'ENOSPC', 'EDQUOT');
