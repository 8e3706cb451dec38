import { readdir, rmdir } from 'node:fs/promises';
import { VBackupError } from '@vbackup/core/errors';

/** A folder that is made for what goes into it; if nothing did and it was made here, it is taken away again. */
export class TargetFolder implements AsyncDisposable {
  readonly #path: string;
  readonly #made: boolean;

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

  async [Symbol.asyncDispose](): Promise<void> {
    // One that holds something stays: rmdir(2) takes only empty ones.
    if (this.#made) await rmdir(this.#path).catch(() => undefined);
  }
}
