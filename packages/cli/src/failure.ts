import { CORE_ERROR_CODES, type ErrorCode, VBackupError } from '@vbackup/core/errors';
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

const REFUSED: readonly string[] = ['EACCES', 'EPERM', 'EROFS'];
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/**
 * Explains anything that was thrown. What vbackup did not throw on purpose is an I/O error if the operating system
 * said so, and else a defect of vbackup.
 */
export function failureOf(error: unknown): Failure {
  const known = error instanceof VBackupError ? error : (ofPlugin(error) ?? systemError(error) ?? defect(error));
  return {
    code: known.code,
    message: known.message,
    cure: known.cure,
    exitCode: exitCodeOf(known.code),
    causes: causesOf(known),
    stack: exitCodeOf(known.code) === EXIT.defect ? stackOf(error) : undefined,
  };
}

/** A plugin from elsewhere has a class of its own, or another copy of ours: its code speaks for it. */
function ofPlugin(error: unknown): VBackupError | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined;
  const code = knownCode(error.code);
  if (code === undefined) return undefined;
  const cure = 'cure' in error && typeof error.cure === 'string' ? { cure: error.cure } : {};
  return new VBackupError(code, error.message, { cause: error.cause, ...cure });
}

function knownCode(code: string): ErrorCode | undefined {
  const own = /^VB_PLUGIN_([A-Z0-9_]+)$/.exec(code)?.[1];
  return CORE_ERROR_CODES.find((known) => known === code) ?? (own === undefined ? undefined : `VB_PLUGIN_${own}`);
}

function systemError(error: unknown): VBackupError | undefined {
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
