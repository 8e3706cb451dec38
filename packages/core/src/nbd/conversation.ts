import { ByteQueue } from '../bytes/index.js';
import { abortError, VBackupError } from '../errors/index.js';
import { addressText } from './address-text.js';
import { Channel, type Receiver } from './channel.js';
import type { NbdConnectOptions } from './connect-options.js';
import type { Dialogue, DialogueStep } from './dialogue.js';
import type { TlsPlan } from './tls.js';

/** From the TCP connect to the first request, where the caller says nothing: xapi plugs a disk meanwhile. */
export const DEFAULT_HANDSHAKE_TIMEOUT_MS = 60_000;
const NOTHING = Buffer.alloc(0);

export interface Conversation<Result> {
  readonly result: Result;
  /** Open, and without a receiver that matters. */
  readonly channel: Channel;
  /** What the server sent beyond the dialogue. */
  readonly leftover: Buffer;
}

/**
 * Connects and holds one dialogue, within the handshake timeout. The caller owns the channel afterwards; when this
 * throws there is none.
 * @throws VBackupError VB_NBD_CONNECT, VB_NBD_HANDSHAKE_TIMEOUT, VB_NBD_DISCONNECTED, VB_NBD_TLS, VB_NBD_CERTIFICATE,
 *   VB_NBD_TLS_INJECTION, and whatever the dialogue throws
 */
export async function converse<Result>(
  options: NbdConnectOptions,
  dialogue: Dialogue<Result>,
): Promise<Conversation<Result>> {
  const plan = await planOf(options);
  const timeoutMs = options.handshakeTimeoutMs ?? DEFAULT_HANDSHAKE_TIMEOUT_MS;
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  try {
    const channel = await Channel.open({ address: options.address, tls: plan !== undefined, signal });
    const speaker = new Speaker(channel, dialogue, plan);
    const result = await speaker.run(signal);
    return { result, channel, leftover: speaker.leftover() };
  } catch (cause) {
    if (!timeout.aborted || options.signal?.aborted === true) throw cause;
    const message = `the NBD server at ${addressText(options.address)} did not finish the handshake in ${timeoutMs} ms`;
    throw new VBackupError('VB_NBD_HANDSHAKE_TIMEOUT', message, { cause });
  }
}

/** Node's TLS takes longer to load than all of the client: only who asks for it waits for it. */
async function planOf({ tls, address }: NbdConnectOptions): Promise<TlsPlan | undefined> {
  if (tls === undefined) return undefined;
  const { planTls } = await import('./tls.js');
  return planTls(tls, address);
}

/** Carries a dialogue's reads and writes to a channel. */
class Speaker<Result> implements Receiver {
  readonly #channel: Channel;
  readonly #dialogue: Dialogue<Result>;
  readonly #plan: TlsPlan | undefined;
  readonly #queue = new ByteQueue();
  #resolve: (result: Result) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  /** How many bytes the dialogue waits for. */
  #wanted: number | undefined;
  /** TLS stands, and nothing was heard in it yet. */
  #justSecured = false;

  constructor(channel: Channel, dialogue: Dialogue<Result>, plan: TlsPlan | undefined) {
    this.#channel = channel;
    this.#dialogue = dialogue;
    this.#plan = plan;
  }

  async run(signal: AbortSignal): Promise<Result> {
    const abort = () => this.#channel.destroy(abortError(signal));
    signal.addEventListener('abort', abort, { once: true });
    this.#channel.receiver = this;
    try {
      return await new Promise<Result>((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
        this.#channel.onClosed = (error) => this.#interrupt(error);
        this.#step(() => this.#dialogue.next(NOTHING));
      });
    } catch (error) {
      this.#channel.destroy(error instanceof Error ? error : new Error(String(error)));
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  leftover(): Buffer {
    return this.#queue.take(this.#queue.length) ?? NOTHING;
  }

  place(): undefined {}

  placed(): void {}

  push(chunk: Buffer): void {
    this.#justSecured = false;
    this.#queue.push(Buffer.from(chunk));
    if (this.#wanted === undefined) return;
    const bytes = this.#queue.take(this.#wanted);
    if (bytes === undefined) return;
    this.#wanted = undefined;
    this.#step(() => this.#dialogue.next(bytes));
  }

  #step(resume: () => IteratorResult<DialogueStep, Result>): void {
    try {
      let next: (() => IteratorResult<DialogueStep, Result>) | undefined = resume;
      while (next !== undefined) {
        const turn: IteratorResult<DialogueStep, Result> = next();
        if (turn.done === true) return this.#resolve(turn.value);
        const bytes = this.#perform(turn.value);
        next = bytes === undefined ? undefined : () => this.#dialogue.next(bytes);
      }
    } catch (error) {
      this.#reject(error);
    }
  }

  /** What the dialogue gets back, or undefined if it has to wait. */
  #perform(step: DialogueStep): Buffer | undefined {
    if ('write' in step) {
      this.#channel.write([step.write]);
      return NOTHING;
    }
    if ('read' in step) {
      const bytes = this.#queue.take(step.read);
      if (bytes === undefined) this.#wanted = step.read;
      return bytes;
    }
    this.#startTls();
    return undefined;
  }

  #startTls(): void {
    if (this.#plan === undefined) throw new VBackupError('VB_INTERNAL', 'a dialogue started TLS without a plan');
    if (this.#queue.length > 0) {
      const message = 'bytes arrived in clear after the NBD server agreed to TLS: somebody is in between';
      throw new VBackupError('VB_NBD_TLS_INJECTION', message);
    }
    this.#channel.startTls(this.#plan).then(
      () => {
        this.#justSecured = true;
        this.#step(() => this.#dialogue.next(NOTHING));
      },
      (error: unknown) => this.#reject(error),
    );
  }

  #interrupt(error: Error): void {
    // With TLS 1.3 a server that does not accept our certificate or key says so when the handshake is over for us.
    if (this.#justSecured && error instanceof VBackupError) {
      const message = 'the NBD server ended TLS at once: it does not accept the certificate or key that it was shown';
      return this.#reject(new VBackupError('VB_NBD_TLS', message, { cause: error }));
    }
    if (this.#wanted === undefined) return this.#reject(error);
    this.#wanted = undefined;
    this.#step(() => this.#dialogue.throw(error));
  }
}
