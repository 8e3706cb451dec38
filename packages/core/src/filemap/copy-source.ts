import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { VBackupError } from '../errors/index.js';
import { readFully } from '../storage/durable.js';
import { withIo } from '../storage/io-error.js';
import type { Filemap, FilemapOptions } from './filemap.js';
import { openMappable } from './open-filemap.js';

/** The map of an open file, which stays its opener's. */
export type OpenFilemap = (file: FileHandle, options: FilemapOptions) => Promise<Filemap>;

/** A file or device that is copied from. */
export class CopySource implements AsyncDisposable {
  readonly path: string;
  readonly file: FileHandle;
  readonly map: Filemap;
  /** As it was before the first byte was read. */
  readonly stat: BigIntStats;

  private constructor(shape: Pick<CopySource, 'path' | 'file' | 'map' | 'stat'>) {
    this.path = shape.path;
    this.file = shape.file;
    this.map = shape.map;
    this.stat = shape.stat;
  }

  static async open(path: string, openFilemap: OpenFilemap, options: FilemapOptions): Promise<CopySource> {
    const file = await openMappable(path);
    try {
      const stat = await withIo(`cannot look at ${path}`, () => file.stat({ bigint: true }));
      return new CopySource({ path, file, stat, map: await openFilemap(file, options) });
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get size(): number {
    return this.map.size;
  }

  /** Fills the whole of `target`. @throws VBackupError VB_FILE_SHORT, VB_IO */
  async read(offset: number, target: Buffer): Promise<void> {
    const filled = await withIo(`cannot read ${this.path} at byte ${offset}`, () =>
      readFully(this.file, target, offset),
    );
    if (filled === target.length) return;
    throw this.short(offset + filled, target.length - filled);
  }

  /** The file ends at `offset`, where `length` bytes were expected. */
  short(offset: number, length: number): VBackupError {
    const message = `${this.path} ends at byte ${offset}, where ${length} more were to be copied`;
    return new VBackupError('VB_FILE_SHORT', message, {
      cure: 'leave the file alone while it is copied, and run again',
    });
  }

  /** @throws VBackupError VB_FILE_CHANGED where a file was written to since it was opened; of a device it is not known */
  async checkUnchanged(): Promise<void> {
    if (!this.stat.isFile()) return;
    const now = await withIo(`cannot look at ${this.path}`, () => this.file.stat({ bigint: true }));
    if (now.size === this.stat.size && now.mtimeNs === this.stat.mtimeNs) return;
    throw this.changed();
  }

  changed(): VBackupError {
    const cure = 'stop what writes to it, or copy a snapshot or reflink of it';
    return new VBackupError('VB_FILE_CHANGED', `${this.path} was changed while it was copied`, { cure });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.map[Symbol.asyncDispose]();
    } finally {
      await this.file.close();
    }
  }
}
