import { readdir, rm, rmdir } from 'node:fs/promises';
import { VBackupError } from '@vbackup/core/errors';

/** A folder that is made for what goes into it; if nothing did and it was made here, it is taken away again. */
export class TargetFolder implements AsyncDisposable {
  readonly #path: string;
  readonly #made: boolean;
  readonly #claimed: string[] = [];

  private constructor(path: string, made: boolean) {
    this.#path = path;
    this.#made = made;
  }

  /** @throws VBackupError VB_TARGET_EXISTS for one that is not empty, unless forced */
  static async open(path: string, { force }: { readonly force: boolean }): Promise<TargetFolder> {
    const { ioError, makeDirectory, systemCode } = await import('@vbackup/core/storage');
    try {
      const [name] = await readdir(path);
      if (name === undefined || force) return new TargetFolder(path, false);
    } catch (error) {
      if (systemCode(error) !== 'ENOENT') throw ioError(error, `cannot look into ${path}`);
      await makeDirectory(path);
      return new TargetFolder(path, true);
    }
    throw new VBackupError('VB_TARGET_EXISTS', `the folder ${path} is not empty`, {
      cure: 'name another folder, or use --force',
    });
  }

  /** A file in it that is taken away as well, unless all is {@link keep kept}. */
  claim(path: string): void {
    this.#claimed.push(path);
  }

  /** What was claimed stays. */
  keep(): void {
    this.#claimed.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of this.#claimed) await rm(path, { force: true }).catch(() => undefined);
    // One that holds something stays: rmdir(2) takes only empty ones.
    if (this.#made) await rmdir(this.#path).catch(() => undefined);
  }
}
