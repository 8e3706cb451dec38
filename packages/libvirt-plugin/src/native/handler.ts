import { shapeError } from '@vbackup/core/errors/shape-fault';
import * as v from 'valibot';
import type { Call } from '../wire/index.js';

/** What answers one kind of call. */
export interface Handler {
  readonly name: string;
  /** @throws NativeCallError, LibraryError, and an error for arguments of another shape */
  run(values: unknown): unknown;
}

export function handle<Arguments, Result>(call: Call<Arguments, Result>, work: (values: Arguments) => Result): Handler {
  const run = (values: unknown): Result => {
    const parsed = v.safeParse(call.arguments, values);
    // Not valibot's own error, which shows the value: a password may be among them.
    if (!parsed.success) throw shapeError(parsed.issues);
    return work(parsed.output);
  };
  return { name: call.name, run };
}

/** The same for a call that gives nothing. */
export function perform<Arguments>(call: Call<Arguments, null>, work: (values: Arguments) => void): Handler {
  return handle(call, (values) => {
    work(values);
    return null;
  });
}
