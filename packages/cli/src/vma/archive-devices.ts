import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { VmaDevice } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';
import { usageError } from '../usage.js';
import { archiveSource } from './archive-source.js';
import { namedDevices } from './choose-devices.js';
import { type OpenedSource, openAnyArchive } from './open-any-archive.js';
import { warnOf } from './warn-of.js';

/** Devices of one archive. */
export interface ArchiveDevices {
  readonly opened: OpenedSource;
  /** As it was written. */
  readonly name: string;
  readonly devices: readonly VmaDevice[];
}

/** Archives that give devices to another: each is opened, and unpacked if need be, once. */
export class ArchiveShelf implements AsyncDisposable {
  readonly #context: CommandContext;
  /** Where archives are unpacked. */
  readonly #folder: string;
  readonly #opened = new Map<string, OpenedSource>();

  constructor(context: CommandContext, folder: string) {
    this.#context = context;
    this.#folder = folder;
  }

  /**
   * `<archive>`: all of its devices; `<archive>:<device>`: one of them, by name or number. A file of that whole name comes first.
   * @throws VBackupError VB_FILE_NOT_FOUND, VB_VMA_NOT_FOUND, VB_CLI_USAGE, ProtocolError VB_VMA_…
   */
  async devices(text: string): Promise<ArchiveDevices> {
    const [, archive = '', device = ''] = /^(.*):([^/]+)$/s.exec(text) ?? [];
    if (archive === '' || (await this.#isThere(text))) return this.#all(text);
    const all = await this.#all(archive);
    return { ...all, devices: namedDevices(all.devices, [device]) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened.values()) await opened[Symbol.asyncDispose]();
  }

  async #all(name: string): Promise<ArchiveDevices> {
    if (name === '-') throw usageError('an archive that gives devices is a file', 'write it to a file first');
    const path = resolve(this.#context.world.cwd, name);
    const opened = this.#opened.get(path) ?? (await this.#open(name));
    this.#opened.set(path, opened);
    return { opened, name, devices: opened.archive.header.devices };
  }

  async #open(name: string): Promise<OpenedSource> {
    const source = await archiveSource(this.#context, name);
    const opened = await openAnyArchive(this.#context, source, () => Promise.resolve(this.#folder));
    warnOf(this.#context.output, opened.archive.warnings);
    return opened;
  }

  async #isThere(name: string): Promise<boolean> {
    try {
      return (await stat(resolve(this.#context.world.cwd, name))).isFile();
    } catch {
      // What else is wrong with it is told by who opens it.
      return false;
    }
  }
}
