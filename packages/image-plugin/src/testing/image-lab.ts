import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type {
  BackupJob,
  HypervisorPlugin,
  Manifest,
  ManifestDisk,
  OptionValues,
  RequestedLevel,
  Warning,
} from '@vbackup/core';
import { RepositoryFixture } from '@vbackup/core/testing';
import { container } from 'tsyringe';

const execute = promisify(execFile);

export const KIB = 1024;
export const MIB = 1024 * KIB;

export interface LabJob extends Partial<BackupJob> {
  readonly plugin: HypervisorPlugin;
  readonly options?: OptionValues | undefined;
  readonly selector: string;
  readonly level?: RequestedLevel | undefined;
}

/** A folder for images, a repository, and backups into it. */
export class ImageLab implements AsyncDisposable {
  readonly folder: string;
  readonly fixture: RepositoryFixture;
  /** What the last backup warned of. */
  warnings: Warning[] = [];

  private constructor(folder: string, fixture: RepositoryFixture) {
    this.folder = folder;
    this.fixture = fixture;
  }

  static async create(): Promise<ImageLab> {
    return new ImageLab(await mkdtemp(join(tmpdir(), 'vbackup-image-')), await RepositoryFixture.create());
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  async backUp({ plugin, options = {}, selector, level = 'auto', ...job }: LabJob): Promise<Manifest> {
    this.warnings = [];
    const onWarning = (warning: Warning): void => void this.warnings.push(warning);
    await using hypervisor = await plugin.connect(options, { container, onWarning });
    const { manifest } = await this.fixture.backUp(hypervisor, level, {
      hypervisorName: plugin.name,
      selector,
      ...job,
    });
    return manifest;
  }

  /** The digest of the only disk of a backup. */
  async digestOf(manifest: Manifest): Promise<string> {
    return sha256(await this.fixture.imageOf(manifest, diskOf(manifest).name));
  }

  /** Codes of what the last backup warned of. */
  get warned(): readonly string[] {
    return this.warnings.map(({ code }) => code);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fixture[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}

export const diskOf = (manifest: Manifest): ManifestDisk => manifest.disks[0] ?? assert.fail('no disk');

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Runs a program, expects success, and gives its standard output. */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await execute(program, [...args], { maxBuffer: 64 * MIB });
  return stdout;
}

/** The commands of qemu-io, one after the other, on an image of a format. */
export const qemuIo = (format: string, path: string, ...commands: readonly string[]): Promise<string> =>
  run('qemu-io', '-f', format, ...commands.flatMap((command) => ['-c', command]), path);

/** Writes bytes in the middle of a file. */
export async function writeAt(path: string, offset: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, offset);
  } finally {
    await file.close();
  }
}
