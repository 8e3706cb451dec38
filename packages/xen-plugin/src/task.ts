import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type * as v from 'valibot';
import { apiError, isGone } from './errors.js';
import { NothingSchema, RefSchema, RefsSchema, TaskSchema } from './records.js';
import { pause } from './retry.js';
import type { XenSession } from './session.js';
import type { XapiValue } from './transport/values.js';

const FIRST_POLL_MS = 100;
const LONGEST_POLL_MS = 1_000;
/** Must work when the user's signal has been raised already. */
const CLEANUP_TIMEOUT_MS = 3_000;
/** How long a cancelled task may take to end. */
const SETTLE_TIMEOUT_MS = 5_000;
/** How long the answer to a start may take after the user's signal: without it nobody knows what was started. */
const START_GRACE_MS = 5_000;

/** A task of the host that ends what is known under its reference; disposing forgets it there. */
export class XenTask implements AsyncDisposable {
  readonly reference: string;
  readonly #session: XenSession;
  readonly #what: string;

  /** For a call to an HTTP handler, which reports to a task. */
  static async create(session: XenSession, what: string, options: WithSignal = {}): Promise<XenTask> {
    const parameters = [`vbackup: ${what}`, 'vbackup'];
    return new XenTask(session, await session.call(RefSchema, 'task.create', parameters, options), what);
  }

  /** Cancels and forgets those of {@link create} that a run left which died: nothing on the host ends them for a day. */
  static async forget(session: XenSession, what: string, options: WithSignal = {}): Promise<void> {
    const left = await session.call(RefsSchema, 'task.get_by_name_label', [`vbackup: ${what}`], options);
    for (const reference of left) {
      await using task = new XenTask(session, reference, what);
      await task.cancel();
    }
  }

  constructor(session: XenSession, reference: string, what: string) {
    this.#session = session;
    this.reference = reference;
    this.#what = what;
  }

  /**
   * Waits until the task has succeeded.
   * @throws XenApiError with the task's own error
   */
  async wait(options: WithSignal = {}): Promise<string> {
    for (let interval = FIRST_POLL_MS; ; interval = Math.min(interval * 2, LONGEST_POLL_MS)) {
      const { status, result, error_info } = await this.#session.call(
        TaskSchema,
        'task.get_record',
        [this.reference],
        options,
      );
      if (status === 'success') return result;
      if (status === 'failure') throw apiError(this.#what, error_info, this.#session.redactor);
      if (status === 'cancelled') throw apiError(this.#what, ['TASK_CANCELLED'], this.#session.redactor);
      await pause(interval, options.signal);
    }
  }

  async cancel(): Promise<void> {
    const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
    await this.#session.call(NothingSchema, 'task.cancel', [this.reference], { signal }).catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
    // The host forgets finished tasks by itself after an hour: not worth failing for.
    await this.#session.call(NothingSchema, 'task.destroy', [this.reference], { signal }).catch(() => {});
  }
}

/**
 * Starts `Async.<method>` and waits for its end: for what may take minutes. The answer is the reference it made.
 *
 * When the signal is raised, the task is cancelled and given a moment to end, so that what it made can be found. A start
 * that is on its way is waited for, as far as the host answers soon.
 */
export async function callAsync(
  session: XenSession,
  method: string,
  parameters: readonly XapiValue[],
  options: WithSignal & { readonly idempotent?: boolean } = {},
): Promise<string> {
  options.signal?.throwIfAborted();
  using start = graceful(options.signal);
  const reference = await session.call(RefSchema, `Async.${method}`, parameters, { ...options, signal: start.signal });
  await using task = new XenTask(session, reference, method);
  try {
    return resultText(await task.wait({ signal: options.signal }));
  } catch (error) {
    if (options.signal?.aborted === true) {
      await task.cancel();
      await task.wait({ signal: AbortSignal.timeout(SETTLE_TIMEOUT_MS) }).catch(() => {});
    }
    throw error;
  }
}

/** A signal that is raised a moment after `signal`, with its reason. */
function graceful(signal: AbortSignal | undefined): Disposable & { readonly signal: AbortSignal } {
  const late = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const arm = (): void => {
    timer = setTimeout(() => late.abort(signal?.reason), START_GRACE_MS);
  };
  signal?.addEventListener('abort', arm, { once: true });
  return {
    signal: late.signal,
    [Symbol.dispose]: () => {
      signal?.removeEventListener('abort', arm);
      clearTimeout(timer);
    },
  };
}

/** Like `session.call`, or null if the object does not exist (any more). */
export async function callIfThere<T>(
  session: XenSession,
  schema: v.GenericSchema<unknown, T>,
  method: string,
  parameters: readonly XapiValue[],
  options: WithSignal = {},
): Promise<T | null> {
  try {
    return await session.call(schema, method, parameters, options);
  } catch (error) {
    if (isGone(error)) return null;
    throw error;
  }
}

/** A task's result is the XML of an XML-RPC value, also for a client that speaks JSON. */
function resultText(result: string): string {
  const text = result.trim();
  const match = /^<value>(?:<string>)?([^<]*)(?:<\/string>)?<\/value>$/.exec(text);
  if (match !== null) return match[1] ?? '';
  if (text === '' || !text.startsWith('<')) return text;
  throw new VBackupError('VB_XEN_RESPONSE', 'the result of a task is not a single value');
}
