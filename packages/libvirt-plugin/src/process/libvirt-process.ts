import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { abortError, VBackupError } from '@vbackup/core/errors';
import { shapeError } from '@vbackup/core/errors/shape-fault';
import * as v from 'valibot';
import { type CallOptions, type LibvirtEvent, libvirtError } from '../connection/index.js';
import { type Call, calls, type Reply, ReplySchema } from '../wire/index.js';
import { StderrTail } from './stderr-tail.js';

/** How many calls may wait for their turn. */
const MAXIMUM_WAITING_CALLS = 4096;
/** How long a connection may take to close before its process is killed. */
const CLOSE_TIMEOUT_MS = 5_000;

export interface LibvirtProcessOptions {
  /** The module to run; tests have others. */
  readonly module?: URL | undefined;
  /** For calls that do not say it. */
  readonly callTimeoutMs: number;
}

interface PendingCall {
  readonly id: number;
  readonly name: string;
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

const MODULE = new URL('../child/main.js', import.meta.url);

/** The child process that has libvirt in it: one call at a time, each with its deadline, and events in between. */
export class LibvirtProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #stderr: StderrTail;
  readonly #ended: Promise<unknown>;
  readonly #callTimeoutMs: number;
  readonly #over = new AbortController();
  readonly #listeners = new Set<(event: LibvirtEvent) => void>();
  #pending: PendingCall | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #lastId = 0;

  constructor(options: LibvirtProcessOptions) {
    this.#callTimeoutMs = options.callTimeoutMs;
    this.#child = fork(options.module ?? MODULE, [], {
      // A session of its own: ssh finds no terminal to ask questions on, and an interrupt there reaches only us.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'json',
      execArgv: [],
      env: environment(process.env),
    });
    this.#stderr = new StderrTail(this.#child.stderr);
    this.#ended = once(this.#child, 'exit').catch(() => undefined);
    this.#child.on('message', (message) => this.#receive(message));
    this.#child.on('error', (error) => this.#crash(error.message));
    this.#child.on('exit', (code, signal) =>
      this.#crash(signal === null ? `exit code ${code}` : `killed by ${signal}`),
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get lost(): AbortSignal {
    return this.#over.signal;
  }

  onEvent(listener: (event: LibvirtEvent) => void): Disposable {
    // The same function may be given twice, and each of the two may be taken away.
    const own = (event: LibvirtEvent): void => listener(event);
    this.#listeners.add(own);
    return { [Symbol.dispose]: () => void this.#listeners.delete(own) };
  }

  /** Makes a call when it is its turn. */
  async ask<Arguments, Result>(
    call: Call<Arguments, Result>,
    values: Arguments,
    options: CallOptions = {},
  ): Promise<Result> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#waiting >= MAXIMUM_WAITING_CALLS) {
      throw new VBackupError('VB_INTERNAL', `${MAXIMUM_WAITING_CALLS} calls wait for libvirt already`);
    }
    this.#waiting += 1;
    const mine = this.#turn.then(() => {
      this.#waiting -= 1;
      if (signal?.aborted === true) throw abortError(signal);
      return this.#exchange(call.name, values, options.timeoutMs ?? this.#callTimeoutMs);
    });
    this.#turn = mine.catch(() => undefined);
    const value = await unlessAborted(mine, signal);
    const parsed = v.safeParse(call.result, value);
    if (parsed.success) return parsed.output;
    throw this.#lose(protocolError(`an answer to ${call.name} of another shape`, shapeError(parsed.issues)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.lost.aborted) {
      // A call that hangs, or is on its way for somebody who does not wait any more, must not keep us.
      const signal = AbortSignal.timeout(CLOSE_TIMEOUT_MS);
      await this.ask(calls.close, {}, { signal, timeoutMs: CLOSE_TIMEOUT_MS }).catch(() => undefined);
    }
    await this.kill();
  }

  /** The end without a farewell. */
  async kill(): Promise<void> {
    this.#lose(new VBackupError('VB_LIBVIRT_CLOSED', 'the connection to libvirt is closed'));
    await this.#ended;
  }

  async #exchange(name: string, values: unknown, timeoutMs: number): Promise<unknown> {
    if (this.lost.aborted) throw this.lost.reason;
    const deadline = AbortSignal.timeout(timeoutMs);
    const expire = (): void => void this.#lose(timeoutError(name, timeoutMs));
    deadline.addEventListener('abort', expire, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#lastId += 1;
        this.#pending = { id: this.#lastId, name, resolve, reject };
        this.#child.send({ id: this.#lastId, call: name, arguments: values }, (error) => {
          if (error !== null) this.#crash(error.message);
        });
      });
    } finally {
      deadline.removeEventListener('abort', expire);
      this.#pending = null;
    }
  }

  #receive(message: unknown): void {
    const parsed = v.safeParse(ReplySchema, message);
    if (parsed.success) this.#take(parsed.output);
    else this.#lose(protocolError('a message of another shape', shapeError(parsed.issues)));
  }

  #take(reply: Reply): void {
    switch (reply.kind) {
      case 'event':
        for (const listener of this.#listeners) listener(reply.event);
        return;
      case 'lost':
        this.#lose(new VBackupError('VB_LIBVIRT_CLOSED', `the connection to libvirt is lost (${LOST[reply.reason]})`));
        return;
      case 'result':
      case 'refused':
      case 'failed':
        this.#settle(reply);
        return;
    }
  }

  #settle(reply: Exclude<Reply, { readonly kind: 'event' | 'lost' }>): void {
    const pending = this.#pending;
    if (pending === null || pending.id !== reply.id) {
      this.#lose(protocolError(`an answer to call ${reply.id}, which nobody waits for`));
    } else if (reply.kind === 'result') pending.resolve(reply.value);
    else if (reply.kind === 'failed') pending.reject(failure(reply));
    else {
      const error = libvirtError(pending.name, reply.error);
      pending.reject(error);
      if (!reply.alive && pending.name !== calls.open.name) {
        this.#lose(new VBackupError('VB_LIBVIRT_CLOSED', 'the connection to libvirt is lost', { cause: error }));
      }
    }
  }

  #crash(how: string): void {
    if (this.lost.aborted) return;
    const when = this.#pending === null ? 'between two calls' : `during ${this.#pending.name}`;
    const said = this.#stderr.text === '' ? '' : `; it said: ${this.#stderr.text}`;
    this.#lose(
      new VBackupError('VB_LIBVIRT_CRASHED', `the process that speaks to libvirt ended ${when} (${how})${said}`),
    );
  }

  /** The end, whatever the reason; the first one counts. */
  #lose(error: VBackupError): VBackupError {
    this.#child.kill('SIGKILL');
    if (!this.lost.aborted) this.#over.abort(error);
    this.#pending?.reject(error);
    return error;
  }
}

const LOST = {
  error: 'an error',
  end: 'the daemon ended or closed it',
  keepalive: 'the daemon did not answer any more',
  client: 'it was closed from here',
  unknown: 'no reason is known',
} as const;

/** libvirt and ssh need much of the environment; our secrets are not among it, nor what would change how Node runs. */
function environment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !name.startsWith('VBACKUP_') && name !== 'NODE_OPTIONS'),
  );
}

/** What `work` gives; or, as soon as the signal is aborted, its reason. `work` goes on. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(abortError(signal));
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

const timeoutError = (name: string, timeoutMs: number): VBackupError =>
  new VBackupError('VB_LIBVIRT_CALL_TIMEOUT', `libvirt did not answer ${name} within ${timeoutMs} ms`, {
    cure: 'see whether the daemon answers virsh; what the call began may still happen',
  });

const protocolError = (what: string, cause?: unknown): VBackupError =>
  new VBackupError('VB_LIBVIRT_PROTOCOL', `the process that speaks to libvirt sent ${what}`, { cause });

function failure(reply: Extract<Reply, { readonly kind: 'failed' }>): VBackupError {
  if (reply.reason === 'internal') return new VBackupError('VB_INTERNAL', reply.message);
  return new VBackupError('VB_LIBVIRT_LIBRARY_MISSING', `libvirt's library cannot be used: ${reply.message}`, {
    cure: 'install it: apt install libvirt0, or dnf install libvirt-libs',
  });
}
