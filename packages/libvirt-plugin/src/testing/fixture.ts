import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Checkpoint, Guest, JsonObject, OptionValues, SnapshotRequest, Warning } from '@vbackup/core';
import { LibvirtHypervisor, LibvirtLink } from '../backup/index.js';
import { type LibvirtOptions, parseOptions } from '../options.js';
import type { FakeDomain } from './fake-domain.js';
import { FakeExports } from './fake-export.js';
import { FakeImages } from './fake-images.js';
import { FakeLibvirt } from './fake-libvirt.js';

export const REPOSITORY = '0123456789abcdef';

export const XML = `<domain><name>web</name><uuid>u</uuid><devices>
  <disk type='file' device='disk'><driver type='qcow2'/><source file='/nowhere/a.qcow2'/><target dev='vda'/></disk>
  <disk type='file' device='disk'><driver type='raw'/><source file='/nowhere/b.raw'/><target dev='vdb'/></disk>
  <disk type='file' device='cdrom'><target dev='sda'/><readonly/></disk>
</devices></domain>`;

/** A hypervisor whose libvirt is in memory, with one domain: vda in qcow2, vdb raw, and an empty drive. */
export class Fixture implements AsyncDisposable {
  readonly libvirt = new FakeLibvirt();
  readonly exports = new FakeExports();
  readonly images = new FakeImages();
  readonly warnings: Warning[] = [];
  readonly domain: FakeDomain;
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.domain = this.libvirt.addDomain({}, XML);
  }

  static async make(): Promise<Fixture> {
    return new Fixture(await mkdtemp(join(tmpdir(), 'vb-lv-')));
  }

  /** @param options - in place of those that `values`, as a user gives them, come to */
  hypervisor(options: Partial<LibvirtOptions> = {}, values: OptionValues = {}): LibvirtHypervisor {
    return new LibvirtHypervisor({
      link: new LibvirtLink(() => Promise.resolve(this.libvirt), this.libvirt),
      openExport: this.exports.open,
      images: this.images,
      options: { ...parseOptions({ scratch: this.folder, 'socket-folder': this.folder, ...values }), ...options },
      warn: (warning) => this.warnings.push(warning),
    });
  }

  get guest(): Guest {
    return { id: this.domain.facts.uuid, name: 'web', kind: 'machine' };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

/** Keeps its entries, as the repository's journal does. */
export class MemoryJournal {
  readonly entries: JsonObject[] = [];

  async record(entry: JsonObject): Promise<void> {
    this.entries.push(structuredClone(entry));
  }
}

export interface RequestOptions {
  readonly since?: Checkpoint | null;
  readonly keepCheckpoint?: boolean;
  readonly journal?: MemoryJournal;
}

export const request = (options: RequestOptions = {}): SnapshotRequest & { readonly journal: MemoryJournal } => ({
  backupId: 'fedcba9876543210',
  repositoryId: REPOSITORY,
  since: options.since ?? null,
  keepCheckpoint: options.keepCheckpoint ?? true,
  journal: options.journal ?? new MemoryJournal(),
});
