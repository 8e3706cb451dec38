import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type {
  Checkpoint,
  Guest,
  Hypervisor,
  JsonObject,
  OptionValues,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
  Warning,
} from '@vbackup/core';
import { type IssuedCertificate, selfSigned, startXapiHost, type XapiHost, type XapiHostOptions } from '@vbackup/lab';
import { container } from 'tsyringe';
import { xenPlugin } from '../plugin.js';
import { Redactor } from '../redactor.js';
import { XenSession } from '../session.js';
import { endpointOf } from '../transport/endpoint.js';
import { HttpsTransport } from '../transport/https-transport.js';

const MIB = 1024 * 1024;
/** Keys take long to make: all hosts of a test run share one. */
let identity: Promise<IssuedCertificate> | undefined;

/** A lab host, and what a test does with it. */
export class LabPool implements AsyncDisposable {
  readonly host: XapiHost;
  readonly warnings: Warning[] = [];

  static async start(options: XapiHostOptions = {}): Promise<LabPool> {
    identity ??= selfSigned({ names: ['xen1.lab'], addresses: ['127.0.0.1'] });
    return new LabPool(await startXapiHost({ identity: await identity, ...options }));
  }

  private constructor(host: XapiHost) {
    this.host = host;
  }

  /** Connects as a user would, with the host's fingerprint pinned. */
  connect(values: OptionValues = {}, signal?: AbortSignal): Promise<Hypervisor> {
    const own = container.createChildContainer();
    xenPlugin.register(own);
    const { url, user, password, fingerprint } = this.host;
    const all = { url, user, password, fingerprint: `sha256:${fingerprint}`, ...values };
    return xenPlugin.connect(all, { container: own, signal, onWarning: (warning) => this.warnings.push(warning) });
  }

  /** A disk with some data here and there; returns its uuid. */
  addDisk(size = 16 * MIB, label = 'data'): string {
    const uuid = this.host.addDisk({ size, label });
    this.host.guestWrite(uuid, 0, pattern(100_000, 1));
    this.host.guestWrite(uuid, Math.floor(size / 2 / 512) * 512, pattern(300_032, 2));
    return uuid;
  }

  /** Nothing but one base per disk that is tracked; tasks and sessions are gone. */
  assertClean(bases: number): void {
    const { bases: left, ...others } = this.host.leftovers();
    const nothing = { snapshots: [], machineSnapshots: [], exports: [], tasks: [], sessions: 0 };
    assert.deepEqual(others, nothing);
    assert.equal(left.length, bases, 'bases');
    for (const disk of this.host.records('VDI')) {
      if (disk['is_a_snapshot'] !== true) assert.deepEqual(disk['other_config'], {}, 'the live disk keeps no tag');
    }
  }

  /** A session of its own, as an administrator has one. */
  login(): Promise<XenSession> {
    const { url, user, password, fingerprint } = this.host;
    return XenSession.login({
      endpoint: endpointOf(new URL(url)),
      user,
      password,
      trust: { fingerprints: [fingerprint] },
      redactor: new Redactor(),
      openTransport: (endpoint, options) => new HttpsTransport(endpoint, options),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.host[Symbol.asyncDispose]();
  }
}

export function pattern(length: number, seed: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, index) => ((index * 31 + seed * 17) % 255) + 1));
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
  readonly backupId?: string;
  readonly journal?: MemoryJournal;
}

export function request(options: RequestOptions = {}): SnapshotRequest & { readonly journal: MemoryJournal } {
  return {
    backupId: options.backupId ?? '0123456789abcdef',
    repositoryId: 'fedcba9876543210',
    since: options.since ?? null,
    keepCheckpoint: options.keepCheckpoint ?? true,
    journal: options.journal ?? new MemoryJournal(),
  };
}

/** Reads one frozen disk as the copy engine does: what changed, minus holes; returns the image and what was read. */
export async function readDisk(
  disk: SnapshotDisk,
  parent: Buffer | null = null,
  connections = 2,
): Promise<{ readonly image: Buffer; readonly read: number }> {
  const image = Buffer.alloc(disk.size);
  parent?.copy(image);
  let read = 0;
  await using reader = await disk.open({ connections });
  const { alignment } = reader.limits;
  for (const range of disk.changes.kind === 'all' ? [{ offset: 0, length: disk.size }] : disk.changes.extents) {
    const whole = [{ ...range, kind: 'data' as const }];
    for await (const { kind, offset, length } of reader.allocation?.(range) ?? whole) {
      if (kind !== 'data') image.fill(0, offset, offset + length);
      else {
        assert.equal(offset % alignment, 0);
        await reader.read(offset, image.subarray(offset, offset + length));
        read += length;
      }
    }
  }
  return { image, read };
}

export const sha256 = (image: Buffer): string => createHash('sha256').update(image).digest('hex');

/** One whole backup: snapshot, read all disks, commit. */
export async function backUp(
  hypervisor: Hypervisor,
  guest: Guest,
  options: RequestOptions & { readonly parents?: readonly Buffer[] } = {},
): Promise<{ readonly snapshot: Snapshot; readonly images: readonly Buffer[]; readonly read: number }> {
  await using snapshot = await hypervisor.snapshot(guest, request(options));
  const images: Buffer[] = [];
  let read = 0;
  for (const [index, disk] of snapshot.disks.entries()) {
    const result = await readDisk(disk, options.parents?.[index] ?? null);
    images.push(result.image);
    read += result.read;
  }
  await snapshot.commit();
  return { snapshot, images, read };
}
