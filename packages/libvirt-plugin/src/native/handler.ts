import type { Call } from '../wire/index.js';

/** What answers one kind of call. */
export interface Handler {
  readonly name: string;
  /** @throws NativeCallError, LibraryError, and ZodError for arguments of another shape */
  run(values: unknown): unknown;
}

export function handle<Arguments, Result>(call: Call<Arguments, Result>, work: (values: Arguments) => Result): Handler {
  return { name: call.name, run: (values) => work(call.arguments.parse(values)) };
}

/** The same for a call that gives nothing. */
export function perform<Arguments>(call: Call<Arguments, null>, work: (values: Arguments) => void): Handler {
  return handle(call, (values) => {
    work(values);
    return null;
  });
}
