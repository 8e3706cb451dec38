import { setTimeout } from 'node:timers/promises';
import { EVENT_METHODS } from './methods/event.js';
import { genericMethods } from './methods/generic.js';
import type { CallContext, Method, Methods } from './methods/method.js';
import { NETWORK_METHODS } from './methods/network.js';
import { SESSION_METHODS } from './methods/session.js';
import { TASK_METHODS } from './methods/task.js';
import { VBD_METHODS } from './methods/vbd.js';
import { VDI_METHODS } from './methods/vdi.js';
import { VM_METHODS } from './methods/vm.js';
import { stringOf } from './model/coerce.js';
import { describeFailure, type RpcCall, type RpcReply, XapiFailure } from './rpc/call.js';
import type { XenValue } from './rpc/value.js';
import type { HostState } from './state.js';
import { runTask } from './task-run.js';

/** The connection is to be cut instead of answered. */
export class DroppedConnection extends Error {}

export interface DispatchOptions {
  readonly signal: AbortSignal;
  /** The master's address when the call came in through another member of the pool. */
  readonly masterAddress?: string | undefined;
}

const ASYNC = 'Async.';
/** Methods that do something to an object: these, and no getters or setters, exist as `Async.` too. */
const ASYNC_METHODS: Methods = { ...NETWORK_METHODS, ...VBD_METHODS, ...VDI_METHODS, ...VM_METHODS };
const METHODS: ReadonlyMap<string, Method> = new Map(
  Object.entries({
    ...genericMethods(),
    ...SESSION_METHODS,
    ...TASK_METHODS,
    ...EVENT_METHODS,
    ...ASYNC_METHODS,
  }),
);

/** Takes calls to their methods: session, parameter count, faults, tasks. */
export class Dispatcher {
  /** Names of all calls in order, as they came in. No parameters: the first of them is the session. */
  readonly calls: string[] = [];
  /** Hears of every call before it does anything. */
  onCall: ((method: string) => void) | undefined;
  readonly #state: HostState;

  constructor(state: HostState) {
    this.#state = state;
  }

  /** @throws DroppedConnection when a fault wants it; every failure of the API is an answer */
  async dispatch(call: RpcCall, options: DispatchOptions): Promise<RpcReply> {
    this.calls.push(call.method);
    this.onCall?.(call.method);
    const fault = this.#state.faults.takeCall(bareName(call.method), 'wire');
    if (fault?.drop === 'before') throw new DroppedConnection();
    if (fault?.delayMs !== undefined) await delay(fault.delayMs, options.signal);
    const reply = await this.#answer(call, options);
    if (fault?.drop === 'after') throw new DroppedConnection();
    return reply;
  }

  async #answer(call: RpcCall, options: DispatchOptions): Promise<RpcReply> {
    try {
      if (call.method === 'system.listMethods') return { kind: 'raw', value: this.#names() };
      if (options.masterAddress !== undefined) throw new XapiFailure('HOST_IS_SLAVE', options.masterAddress);
      if (call.method === 'session.login_with_password') return { kind: 'success', value: this.#login(call.params) };
      return { kind: 'success', value: await this.#call(call, options.signal) };
    } catch (error) {
      return { kind: 'failure', description: describeFailure(error) };
    }
  }

  async #call(call: RpcCall, signal: AbortSignal): Promise<XenValue> {
    const name = bareName(call.method);
    const isAsync = call.method.startsWith(ASYNC);
    const method = METHODS.get(name);
    const hidden = this.#state.faults.missingMethods.has(name) || (isAsync && !Object.hasOwn(ASYNC_METHODS, name));
    if (method === undefined || hidden) throw new XapiFailure('MESSAGE_METHOD_UNKNOWN', call.method);
    const [ref, ...args] = call.params;
    const session = this.#state.sessions.get(stringOf('session_id', ref));
    checkCount(name, method, args.length);
    if (!isAsync) return await this.#run(name, method, { state: this.#state, session, signal }, args);
    const task = this.#state.tasks.create(call.method);
    // The work outlives the request that started it.
    const context = { state: this.#state, session, signal: new AbortController().signal };
    void runTask(this.#state, task, name, () => this.#run(name, method, context, args));
    return task.ref;
  }

  async #run(name: string, method: Method, context: CallContext, args: readonly XenValue[]): Promise<XenValue> {
    const error = this.#state.faults.takeCall(name, 'work')?.error;
    if (error !== undefined) throw new XapiFailure(...error);
    return await method.run(context, args);
  }

  #login([user, password, , originator]: readonly XenValue[]): string {
    const error = this.#state.faults.takeCall('session.login_with_password', 'work')?.error;
    if (error !== undefined) throw new XapiFailure(...error);
    const { settings, sessions } = this.#state;
    if (user !== settings.user || password !== settings.password) {
      throw new XapiFailure('SESSION_AUTHENTICATION_FAILED', stringOf('uname', user), 'Authentication failure');
    }
    return sessions.open(settings.user, typeof originator === 'string' ? originator : '').ref;
  }

  #names(): string[] {
    const present = [...METHODS.keys()].filter((name) => !this.#state.faults.missingMethods.has(name));
    const asynchronous = present.filter((name) => Object.hasOwn(ASYNC_METHODS, name)).map((name) => ASYNC + name);
    return ['system.listMethods', 'session.login_with_password', ...present, ...asynchronous];
  }
}

function checkCount(name: string, { params }: Method, given: number): void {
  const [least, most] = typeof params === 'number' ? [params, params] : params;
  if (given >= least && given <= most) return;
  throw new XapiFailure('MESSAGE_PARAMETER_COUNT_MISMATCH', name, String(most), String(given));
}

function bareName(method: string): string {
  return method.startsWith(ASYNC) ? method.slice(ASYNC.length) : method;
}

async function delay(ms: number, signal: AbortSignal): Promise<void> {
  if (Number.isFinite(ms)) return await setTimeout(ms, undefined, { signal });
  await new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new DroppedConnection()), { once: true });
  });
}
