import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type BackupJob,
  type Hypervisor,
  type Manifest,
  openFileTarget,
  openRepository,
  type Repository,
  runBackup,
  runRestore,
} from '@vbackup/core';
import type { LabDomain } from '@vbackup/lab';

const run = promisify(execFile);

export interface ModelWrite {
  readonly offset: number;
  readonly length: number;
  readonly value: number;
}

/** A guest of the lab whose disks are known byte for byte, for every write goes to a model as well. */
export class ModelGuest {
  readonly domain: LabDomain;
  readonly #folder: string;
  readonly #disks = new Map<string, Buffer>();
  #restores = 0;

  /** @param disks - sizes by target; all read as zeros */
  constructor(domain: LabDomain, folder: string, disks: Readonly<Record<string, number>>) {
    this.domain = domain;
    this.#folder = folder;
    for (const [target, size] of Object.entries(disks)) this.#disks.set(target, Buffer.alloc(size));
  }

  /** As the guest does, or with qemu-io while it is off. */
  async write(target: string, offset: number, length: number, value: number): Promise<void> {
    await this.#do(target, `write -P ${value} ${offset} ${length}`);
    this.#disk(target).fill(value, offset, offset + length);
  }

  /** @param command - of qemu-io: `write -z`, `discard` */
  async zero(target: string, command: string, offset: number, length: number): Promise<void> {
    await this.#do(target, `${command} ${offset} ${length}`);
    this.#disk(target).fill(0, offset, offset + length);
  }

  /** Notes a write that was made by other means. */
  model(target: string, { offset, length, value }: ModelWrite): void {
    this.#disk(target).fill(value, offset, offset + length);
  }

  /** What the disks hold now. */
  copy(): ReadonlyMap<string, Buffer> {
    return new Map([...this.#disks].map(([target, bytes]) => [target, Buffer.from(bytes)]));
  }

  repository(): Promise<Repository> {
    return openRepository(join(this.#folder, `repository-${this.domain.name}`), { create: true });
  }

  async backUp(
    hypervisor: Hypervisor,
    more: Partial<Pick<BackupJob, 'level' | 'selector' | 'onEvent' | 'signal'>> = {},
  ): Promise<Manifest> {
    const repository = await this.repository();
    const job = { hypervisor, hypervisorName: 'libvirt', repository, selector: this.domain.name, ...more };
    const { manifest, warnings } = await runBackup(job);
    assert.deepEqual(warnings, []);
    return manifest;
  }

  async assertRestores(manifest: Manifest, expected: ReadonlyMap<string, Buffer>): Promise<void> {
    const repository = await this.repository();
    for (const { name } of manifest.disks) {
      this.#restores += 1;
      const file = join(this.#folder, `restored-${this.#restores}.raw`);
      await runRestore({ repository, manifest, disk: name, openTarget: openFileTarget(file) });
      const bytes = expected.get(name) ?? assert.fail(`no disk ${name}`);
      assert.ok((await readFile(file)).equals(bytes), `${name} of ${manifest.level} ${manifest.id} is not what it was`);
      await rm(file);
    }
  }

  /** The names of the dirty bitmaps in the image of a domain that is off. */
  async bitmaps(target: string): Promise<readonly string[]> {
    const { stdout } = await run('qemu-img', ['info', '--output=json', this.domain.disk(target).path]);
    return [...stdout.matchAll(/"name": "(vbackup-[^"]*)"/g)].map(([, name = '']) => name);
  }

  async #do(target: string, command: string): Promise<void> {
    if ((await this.domain.state()) !== 'shut off') return this.domain.dirty(target, command);
    const { path, format } = this.domain.disk(target);
    await run('qemu-io', ['-f', format, '-d', 'unmap', '-c', command, path]);
  }

  #disk(target: string): Buffer {
    return this.#disks.get(target) ?? assert.fail(`no disk ${target}`);
  }
}
