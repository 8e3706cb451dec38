import { VBackupError } from '@vbackup/core/errors';
import { EXIT, exitCodeOf } from './exit-codes.js';

/** An error as it is shown: never a secret, never a stack unless asked for. */
export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly cure: string | undefined;
  readonly exitCode: number;
  /** The messages of the causes, outermost first. */
  readonly causes: readonly string[];
  /** Of defects alone. */
  readonly stack: string | undefined;
}

/** How many causes are followed. */
const MAX_CAUSES = 8;

/** How a code of vbackup is written. */
const CODE = /^VB_[A-Z0-9_]+$/;

const REFUSED: readonly string[] = ['EACCES', 'EPERM', 'EROFS'];
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/**
 * Explains anything that was thrown. What vbackup did not throw on purpose is an I/O error if the operating system
 * said so, and else a defect of vbackup.
 */
export function failureOf(error: unknown): Failure {
  const { first, later } = unwrap(error);
  const known = asKnown(first) ?? aborted(first) ?? systemError(first) ?? defect(first);
  const exitCode = exitCodeOf(known.code);
  return {
    code: known.code,
    message: known.message,
    cure: known.cure,
    exitCode,
    causes: [...causesOf(known), ...later],
    stack: exitCode === EXIT.defect ? stackOf(first) : undefined,
  };
}

type Known = Error & { readonly code: string; readonly cure: string | undefined };

/** An error of vbackup; a plugin may throw that of its own copy of the core, or one that only has a code and a cure. */
function asKnown(error: unknown): Known | undefined {
  if (error instanceof VBackupError) return error;
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  if (!CODE.test(error.code)) return undefined;
  const { code } = error;
  const cure = 'cure' in error && typeof error.cure === 'string' ? error.cure : undefined;
  return Object.assign(new Error(error.message, { cause: error.cause }), { code, cure });
}

/** Where releasing failed after the work had failed, the work's error counts, and the others are told besides. */
function unwrap(error: unknown): { first: unknown; later: string[] } {
  const later: string[] = [];
  let first = error;
  while (later.length < MAX_CAUSES && first instanceof Error && 'suppressed' in first && 'error' in first) {
    later.push(first.error instanceof Error ? first.error.message : String(first.error));
    first = first.suppressed;
  }
  return { first, later };
}

function aborted(error: unknown): Known | undefined {
  if (!(error instanceof Error) || error.name !== 'AbortError') return undefined;
  return asKnown(error.cause) ?? new VBackupError('VB_ABORTED', 'aborted', { cause: error });
}

function systemError(thrown: unknown): VBackupError | undefined {
  const error: unknown = thrown instanceof AggregateError ? thrown.errors[0] : thrown;
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  const code = String(error.code);
  if (REFUSED.includes(code)) {
    return new VBackupError('VB_ACCESS_DENIED', error.message, {
      cause: error,
      cure: 'check the owner and the mode of what the message names, and who runs vbackup',
    });
  }
  if (FULL.includes(code)) {
    return new VBackupError('VB_NO_SPACE', error.message, { cause: error, cure: 'make room and run it again' });
  }
  return new VBackupError('VB_IO', error.message, { cause: error });
}

function defect(error: unknown): VBackupError {
  const message = error instanceof Error ? `${error.name}: ${error.message}` : `something was thrown: ${String(error)}`;
  return new VBackupError('VB_INTERNAL', `a defect of vbackup: ${message}`, {
    cause: error,
    cure: 'please report it with the output of the same command and -v',
  });
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  for (let cause = error.cause; cause instanceof Error && causes.length < MAX_CAUSES; cause = cause.cause) {
    if (!error.message.includes(cause.message)) causes.push(cause.message);
  }
  return causes;
}

const stackOf = (error: unknown): string | undefined => (error instanceof Error ? error.stack : undefined);
