import type { ErrorCode, VBackupErrorOptions } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { Redactor } from './redactor.js';

/**
 * What a XenAPI host answered instead of a value: `Status: Failure` with an `ErrorDescription`. `apiCode` is its first
 * element, `params` are the others, with secrets taken out.
 */
export class XenApiError extends VBackupError {
  readonly apiCode: string;
  readonly params: readonly string[];

  constructor(failure: ApiFailure, options: VBackupErrorOptions = {}) {
    const meaning = meaningOf(failure);
    super(meaning.code, meaning.message, meaning.cure === undefined ? options : { cure: meaning.cure, ...options });
    this.apiCode = failure.apiCode;
    this.params = failure.params;
  }
}

export interface ApiFailure {
  readonly method: string;
  readonly apiCode: string;
  readonly params: readonly string[];
}

/** Makes the error of an `ErrorDescription`; the method's name says what was asked. */
export function apiError(method: string, description: readonly string[], redactor: Redactor): XenApiError {
  const [apiCode = 'UNKNOWN', ...params] = description;
  return new XenApiError({ method, apiCode, params: params.map((param) => redactor.clean(param)) });
}

/** True for a XenApiError with one of these codes. */
export function isApiError(error: unknown, ...apiCodes: readonly string[]): error is XenApiError {
  return error instanceof XenApiError && apiCodes.includes(error.apiCode);
}

/** The object that a call named does not exist (any more). */
export function isGone(error: unknown): boolean {
  return isApiError(error, 'HANDLE_INVALID', 'UUID_INVALID');
}

/** The message of whatever was thrown, for a sentence of our own. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

interface Meaning {
  readonly code: ErrorCode;
  readonly message: string;
  readonly cure?: string;
}

const MEANINGS: Readonly<Record<string, (failure: ApiFailure) => Meaning>> = {
  SESSION_AUTHENTICATION_FAILED: ({ params }) => ({
    code: 'VB_XEN_AUTHENTICATION',
    message: `the host does not accept user ${params[0] ?? '?'} with this password`,
    cure: 'set VBACKUP_XEN_USER and VBACKUP_XEN_PASSWORD (or …_PASSWORD_FILE) to a user of the pool',
  }),
  RBAC_PERMISSION_DENIED: ({ method, params }) => ({
    code: 'VB_XEN_PERMISSION',
    message: `the user may not call ${params[0] ?? method}: it needs the role ${roleFor(method)}`,
    cure: `give the user the role ${roleFor(method)} (xe subject-role-add), or use another user`,
  }),
  LICENCE_RESTRICTION: ({ params }) => ({
    code: 'VB_XEN_LICENCE',
    message: `the pool's licence does not include ${params[0] ?? 'this feature'}`,
  }),
  HOST_IS_SLAVE: ({ params }) => ({
    code: 'VB_XEN_NOT_MASTER',
    message: `the host is not the pool's coordinator; that is ${params[0] ?? 'unknown'}`,
  }),
  SESSION_INVALID: () => ({ code: 'VB_XEN_SESSION_LOST', message: 'the host does not know the session any more' }),
  SR_BACKEND_FAILURE_44: ({ method }) => ({
    code: 'VB_XEN_SR_FULL',
    message: `the storage repository has no room left (${method})`,
    cure: 'free space on the storage repository: a snapshot on thick LVM needs the full size of the disk',
  }),
  SR_BACKEND_FAILURE_109: ({ method }) => ({
    code: 'VB_XEN_CHAIN_TOO_LONG',
    message: `the disk has too long a chain of snapshots (${method})`,
    cure: 'remove snapshots, let the storage repository coalesce (xe sr-scan), and try again',
  }),
};

function meaningOf(failure: ApiFailure): Meaning {
  const known = MEANINGS[failure.apiCode];
  if (known !== undefined) return known(failure);
  const details = failure.params.filter((param) => param !== '').join(', ');
  const message = `${failure.method}: ${failure.apiCode}${details === '' ? '' : ` (${details})`}`;
  return { code: 'VB_XEN_API', message };
}

/** xapi, `datamodel_roles.ml`: what each call that vbackup makes needs at least. */
function roleFor(method: string): string {
  const name = method.replace(/^Async\./, '');
  if (/^(network|pool|host)\./.test(name)) return 'pool-admin (or pool-operator)';
  if (/^VM\.(snapshot|checkpoint)/.test(name)) return 'vm-power-admin';
  return 'vm-admin';
}
