import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { RequestError, VBackupError } from '../errors/index.js';
import type { WithSignal } from '../hypervisor/index.js';
import type { NbdAddress } from '../nbd/index.js';
import { withIo } from '../storage/io-error.js';
import { type QemuProcess, spawnQemu } from './program.js';
import { newQemuFolder, pidFileIn, removeQemuFolder, socketIn } from './qemu-folder.js';
import { LastWords, refusalError } from './qemu-words.js';

const POLL_MS = 10;
/** Loading the bitmaps of a large image takes a while. */
const START_TIMEOUT_MS = 120_000;
/** After SIGTERM it writes back what it holds. */
const END_TIMEOUT_MS = 20_000;
/** A client learns that the server is gone before we do. */
const NEWS_TIMEOUT_MS = 1_000;

export interface QemuNbdOptions extends WithSignal {
  readonly path: string;
  /** QEMU's name; a format is never guessed from the content. */
  readonly format: string;
  readonly readOnly: boolean;
  /** A persistent dirty bitmap to offer as the meta context `qemu:dirty-bitmap:<name>`. */
  readonly bitmap?: string | undefined;
  /** How many clients may be connected at once. */
  readonly connections: number;
  /** Default: the empty name. */
  readonly exportName?: string | undefined;
  /** From {@link newQemuFolder}, where the name was noted down before. Default: a new one. */
  readonly folder?: string | undefined;
}

/**
 * A `qemu-nbd` that serves one image on a unix socket in a folder that only this user can enter. It ends when its last
 * client leaves, when it is disposed of, and with this process; its folder is removed by the disposal, or by
 * `removeQemuFolder` for a process that died.
 */
export class QemuNbd implements AsyncDisposable {
  readonly folder: string;
  readonly #child: ChildProcess;
  readonly #path: string;
  readonly #words = new LastWords();
  readonly #ended: Promise<string>;
  #end: string | undefined;
  #disposing = false;

  private constructor({ child, ended }: QemuProcess, place: Place) {
    this.folder = place.folder;
    this.#path = place.path;
    this.#child = child;
    child.stderr?.on('data', (chunk: Buffer) => this.#words.push(chunk));
    this.#ended = ended.then((end) => {
      this.#end = end;
      return end;
    });
  }

  /**
   * Starts a server and waits until it takes connections.
   * @throws VBackupError VB_QEMU_MISSING, VB_QEMU_FAILED, VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_ACCESS_DENIED
   */
  static async start(options: QemuNbdOptions): Promise<QemuNbd> {
    const { signal } = options;
    signal?.throwIfAborted();
    const path = resolve(options.path);
    const folder = options.folder ?? newQemuFolder();
    await withIo(`cannot make ${folder}`, () => mkdir(folder, { mode: 0o700 }));
    const server = new QemuNbd(await launch(options, { folder, path }), { folder, path });
    try {
      await server.#ready(signal);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  get address(): NbdAddress {
    return { kind: 'unix', path: socketIn(this.folder) };
  }

  /** The server's process. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Why it does not run any more, though nobody disposed of it: VB_QEMU_FAILED with its last words. */
  failure(): VBackupError | undefined {
    return this.#end === undefined || this.#disposing ? undefined : this.#refusal(this.#end);
  }

  /** What a client of this server failed with, or, if the server died of it, the server's own words. */
  async explain(error: unknown): Promise<unknown> {
    if (error instanceof RequestError && error.code === 'VB_NO_SPACE') {
      const message = `cannot write ${this.#path}: no space is left where it lies`;
      return new RequestError('VB_NO_SPACE', message, { cause: error, cure: 'free space there, then run again' });
    }
    const isLoss = error instanceof VBackupError && !(error instanceof RequestError);
    if (!isLoss || !error.code.startsWith('VB_NBD_') || this.#disposing) return error;
    await this.#endWithin(NEWS_TIMEOUT_MS);
    return this.failure() ?? error;
  }

  /** Ends the server and removes its folder; writes that were flushed before are kept. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposing = true;
    if (this.#end === undefined) {
      this.#child.kill('SIGTERM');
      await this.#endWithin(END_TIMEOUT_MS);
      this.#child.kill('SIGKILL');
      await this.#ended;
    }
    await removeQemuFolder(this.folder);
  }

  /** It writes its process id when it listens (qemu-nbd.c, main). */
  async #ready(signal: AbortSignal | undefined): Promise<void> {
    const deadline = AbortSignal.timeout(START_TIMEOUT_MS);
    while ((await readFile(pidFileIn(this.folder), 'utf8').catch(() => '')) === '') {
      signal?.throwIfAborted();
      if (this.#end !== undefined) throw this.#refusal(this.#end);
      if (deadline.aborted) throw this.#refusal(`nothing for ${START_TIMEOUT_MS / 1000} seconds`);
      await delay(POLL_MS);
    }
  }

  async #endWithin(timeoutMs: number): Promise<void> {
    const stop = new AbortController();
    const late = delay(timeoutMs, undefined, { signal: stop.signal }).catch(() => undefined);
    await Promise.race([this.#ended, late]);
    stop.abort();
  }

  #refusal(end: string): VBackupError {
    const action = `cannot open ${this.#path}`;
    return refusalError({ action, program: 'qemu-nbd', words: this.#words, end });
  }
}

async function launch(options: QemuNbdOptions, place: Place): Promise<QemuProcess> {
  try {
    // In a session of its own, so that Ctrl-C does not end it before its reader.
    return await spawnQemu('qemu-nbd', argumentsOf(options, place), {
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
  } catch (error) {
    await removeQemuFolder(place.folder);
    throw error;
  }
}

interface Place {
  readonly folder: string;
  readonly path: string;
}

function argumentsOf(
  { format, readOnly, bitmap, connections, exportName }: QemuNbdOptions,
  { folder, path }: Place,
): readonly string[] {
  return [
    `--format=${format}`,
    '--socket',
    socketIn(folder),
    `--pid-file=${pidFileIn(folder)}`,
    `--shared=${connections}`,
    ...(readOnly ? ['--read-only'] : []),
    ...(bitmap === undefined ? [] : [`--bitmap=${bitmap}`]),
    ...(exportName === undefined ? [] : [`--export-name=${exportName}`]),
    '--',
    path,
  ];
}
