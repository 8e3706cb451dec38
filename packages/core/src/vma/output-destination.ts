import { link, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VBackupError } from '../errors/index.js';
import { AppendFile } from '../storage/append-file.js';
import { DirectAppender } from '../storage/direct-appender.js';
import { ignoringMissing, syncDirectory } from '../storage/durable.js';
import { ioError, systemCode, withIo } from '../storage/io-error.js';

/** Where bytes go, one call at a time. Exactly one of `finish` and `abort` comes last. */
export interface ByteDestination {
  append(buffers: readonly Buffer[]): Promise<void>;
  /** Returns the bytes written. */
  finish(): Promise<number>;
  abort(): Promise<void>;
}

export interface FileDestinationOptions {
  readonly path: string;
  readonly partialPath: string;
  /** Replaces what has the name. */
  readonly force: boolean;
}

/** What link(2) says where a file system has no second names for files. */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** A file that has another name until it is complete and durable. */
export class FileDestination implements ByteDestination {
  readonly #options: FileDestinationOptions;
  readonly #file: AppendFile;
  /** Null where all goes through the page cache. */
  readonly #direct: DirectAppender | null;

  private constructor(options: FileDestinationOptions, file: AppendFile, direct: DirectAppender | null) {
    this.#options = options;
    this.#file = file;
    this.#direct = direct;
  }

  /** @throws VBackupError VB_TARGET_EXISTS, VB_IO, VB_ACCESS_DENIED */
  static async open(options: FileDestinationOptions): Promise<FileDestination> {
    const file = await AppendFile.createNew(options.partialPath);
    try {
      return new FileDestination(options, file, await DirectAppender.open(file));
    } catch (error) {
      await file[Symbol.asyncDispose]();
      await rm(options.partialPath, { force: true });
      throw error;
    }
  }

  async append(buffers: readonly Buffer[]): Promise<void> {
    await (this.#direct ?? this.#file).append(buffers);
  }

  /** @throws VBackupError VB_TARGET_EXISTS if another file took the name meanwhile */
  async finish(): Promise<number> {
    const { path, partialPath, force } = this.#options;
    const { length } = this.#direct ?? this.#file;
    await (this.#direct ?? this.#file).sync();
    await withIo(`cannot rename ${partialPath}`, () =>
      force ? rename(partialPath, path) : nameNew(partialPath, path),
    );
    await this.#close();
    await syncDirectory(dirname(path));
    return length;
  }

  async abort(): Promise<void> {
    await this.#close();
    await rm(this.#options.partialPath, { force: true });
  }

  async #close(): Promise<void> {
    await this.#direct?.[Symbol.asyncDispose]();
    await this.#file[Symbol.asyncDispose]();
  }
}

/** Renames a file to a name that nothing has: link(2) refuses in one step where rename(2) would replace. */
async function nameNew(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
    await rm(from);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') throw exists(to, error);
    if (!NO_LINKS.has(code)) throw error;
    if ((await ignoringMissing(() => stat(to))) !== null) throw exists(to, error);
    await rename(from, to);
  }
}

const exists = (path: string, cause: unknown): VBackupError =>
  new VBackupError('VB_TARGET_EXISTS', `${path} exists`, { cause, cure: 'name another file, or use --force' });

/** An open stream, as standard output. */
export class StreamDestination implements ByteDestination {
  readonly #stream: NodeJS.WritableStream;
  readonly #signal: AbortSignal | undefined;
  #length = 0;

  constructor(stream: NodeJS.WritableStream, signal?: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    // Errors reach whoever waits for a write; without a listener they would end the process as well.
    stream.on('error', () => undefined);
  }

  /** Returns when the stream has passed everything on. */
  async append(buffers: readonly Buffer[]): Promise<void> {
    for (const buffer of buffers) {
      // A stream may keep what it was given for as long as it likes, whatever it calls back: a PassThrough hands it on.
      await this.#write(Buffer.from(buffer));
      this.#length += buffer.length;
    }
  }

  /** Whoever reads the other end may have stopped for ever: an abort does not wait for it. */
  async #write(buffer: Buffer): Promise<void> {
    const signal = this.#signal;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    this.#stream.write(buffer, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(ioError(error, 'cannot write the archive to the stream'));
    });
    await promise.finally(() => signal?.removeEventListener('abort', stop));
  }

  finish(): Promise<number> {
    return Promise.resolve(this.#length);
  }

  abort(): Promise<void> {
    return Promise.resolve();
  }
}
