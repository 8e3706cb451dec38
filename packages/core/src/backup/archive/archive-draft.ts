import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import type { Journal, Warning } from '../../hypervisor/index.js';
import {
  type ArchiveOutput,
  DigestingSink,
  derivedUuid,
  newIdentity,
  type Sidecar,
  type VmaIdentity,
  VmaWriter,
  type WrittenDevice,
  writeSidecar,
} from '../../vma/index.js';
import { VmaImageWriter } from '../image/vma-image-writer.js';
import type { ImageWriter } from '../image.js';
import type { Manifest } from '../manifest.js';
import { TOOL_VERSION } from '../repository/tool-version.js';
import type { BackupDraft, BackupPlan, CommitRecord, DraftChoice, DraftDisk, PlaceKey } from '../repository.js';
import { WorkerHasher } from '../workers/worker-hasher.js';
import type { ShapeArchive } from './archive-shape.js';

/** An archive that is going to be written, once. */
export interface NewArchive {
  /** The caller closes it. */
  readonly output: ArchiveOutput;
  /** Where the digests go; null for none. */
  readonly sidecarPath: string | null;
  /** Default: a random one. `derived`: the one that follows from the names and sizes of the devices. */
  readonly uuid?: Buffer | 'derived' | undefined;
  /** Seconds since 1970, UTC; default: when the disks were frozen. */
  readonly ctime?: number | undefined;
  readonly shape: ShapeArchive;
  readonly warn: (warning: Warning) => void;
  readonly signal?: AbortSignal | undefined;
}

/** What came of it. */
export interface FinishedArchive extends VmaIdentity {
  /** Bytes that were written, compressed if it is. */
  readonly length: number;
  readonly devices: readonly FinishedDevice[];
  /** The names of the configurations. */
  readonly configs: readonly string[];
  readonly sidecar: Sidecar;
  /** Null if none was wanted, or it could not be written. */
  readonly sidecarPath: string | null;
}

export interface FinishedDevice extends NamedDevice, WrittenDevice {}

interface NamedDevice {
  readonly name: string;
  /** Bytes that the disk has. */
  readonly size: number;
}

interface Begun {
  readonly identity: VmaIdentity;
  readonly sink: DigestingSink;
  readonly writer: VmaWriter;
  readonly configs: readonly string[];
  readonly devices: readonly NamedDevice[];
  /** Of devices, by the name of the disk. */
  readonly names: ReadonlyMap<string, string>;
  readonly time: Date;
}

export interface ArchiveDraftParts {
  readonly archive: NewArchive;
  readonly plan: BackupPlan;
  readonly key: PlaceKey;
  /** Has the journal, and nothing else. */
  readonly inner: BackupDraft;
}

/** A backup that becomes an archive: all that its header says is known when the first byte is. */
export class ArchiveDraft implements BackupDraft {
  readonly id: string;
  readonly journal: Journal;
  readonly #parts: ArchiveDraftParts;
  readonly #hasher = new WorkerHasher();
  #begun: Begun | null = null;
  #finished: FinishedArchive | null = null;

  constructor(parts: ArchiveDraftParts) {
    this.id = parts.inner.id;
    this.journal = parts.inner.journal;
    this.#parts = parts;
  }

  /** Null before the commit. */
  get finished(): FinishedArchive | null {
    return this.#finished;
  }

  async choose({ time, disks, configuration }: DraftChoice): Promise<void> {
    assert.equal(this.#begun, null);
    const { archive, plan } = this.#parts;
    const { warn, signal } = archive;
    const shape = archive.shape({ guest: plan.guest.name, disks, configuration, warn });
    const devices = disks.map(({ size }, at) => ({ name: shape.devices[at] ?? '', size }));
    const lengths = new Map(disks.map(({ size }, at) => [at + 1, size]));
    const sink = new DigestingSink(archive.output, { hasher: this.#hasher, lengths });
    const uuid = archive.uuid === 'derived' ? derivedUuid(devices) : archive.uuid;
    const identity = newIdentity({ uuid, ctime: archive.ctime, now: time });
    const writer = await VmaWriter.open({ ...identity, configs: shape.configs, devices }, sink, { signal });
    const names = new Map(disks.map(({ name }, at) => [name, shape.devices[at] ?? '']));
    const configs = shape.configs.map(({ name }) => name);
    this.#begun = { identity, sink, writer, configs, devices, names, time };
  }

  disk({ name }: DraftDisk): Promise<ImageWriter> {
    const { writer, names } = this.#chosen();
    return Promise.resolve(new VmaImageWriter(writer, names.get(name) ?? ''));
  }

  async commit(record: CommitRecord): Promise<Manifest> {
    const { writer, sink, identity, configs, devices: named } = this.#chosen();
    const archive = await writer.close();
    const devices = archive.devices.flatMap((written, at) => {
      const device = named[at];
      return device === undefined ? [] : [{ ...device, ...written }];
    });
    const sidecar = await sink.finish();
    const length = await this.#parts.archive.output.finish();
    const sidecarPath = await this.#writeSidecar(sidecar);
    this.#finished = { ...identity, length, devices, configs, sidecar, sidecarPath };
    return this.#manifest(record, this.#finished);
  }

  async close(): Promise<void> {
    await this.#parts.inner.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hasher[Symbol.asyncDispose]();
    await this.#parts.inner[Symbol.asyncDispose]();
  }

  /** The archive is complete and durable by now, and is not given up for its digests. */
  async #writeSidecar(sidecar: Sidecar): Promise<string | null> {
    const { sidecarPath, warn } = this.#parts.archive;
    if (sidecarPath === null) return null;
    try {
      await writeSidecar(sidecarPath, sidecar);
      return sidecarPath;
    } catch (error) {
      // One of an archive that was replaced would speak of another.
      await rm(sidecarPath, { force: true }).catch(() => undefined);
      const detail = error instanceof Error ? error.message : String(error);
      warn({ code: 'VB_VMA_SIDECAR', message: `the archive is complete, its digests are not written: ${detail}` });
      return null;
    }
  }

  /** What a repository would keep of this backup. Of an archive it is only told. */
  #manifest(record: CommitRecord, { devices }: FinishedArchive): Manifest {
    const { key, plan } = this.#parts;
    const { time } = this.#chosen();
    const { id, name, kind } = plan.guest;
    return {
      format: 'vbackup-manifest',
      version: 1,
      id: this.id,
      time: time.toISOString(),
      level: 'copy',
      parent: null,
      chain: '',
      checkpointName: '',
      hypervisor: key.hypervisor,
      guest: { id, name, kind },
      checkpoint: null,
      compression: 'none',
      disks: record.disks.map((disk, at) => {
        const { name: file = '', dataLength = 0, storedLength = 0 } = devices[at] ?? {};
        return { ...disk, file, index: '', dataLength, storedLength };
      }),
      files: [],
      tool: { name: 'vbackup', version: TOOL_VERSION },
    };
  }

  #chosen(): Begun {
    assert.ok(this.#begun !== null, 'the archive has no header yet');
    return this.#begun;
  }
}
