import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { coalesce } from '../extent/index.js';
import type { Changes, Guest, Hypervisor, Leftover, Snapshot, SnapshotRequest } from '../hypervisor/index.js';
import { FakeReader, TRACKING_UNIT } from './fake-disk.js';

const tracked = v.array(v.number());

/**
 * A hypervisor whose whole state lies in a folder, so that it outlives a process that is killed: `disk`, and one file
 * per checkpoint (`check-…`, the units written since) and per snapshot (`snap-…`, the frozen bytes).
 */
export class DirectoryHypervisor implements Hypervisor {
  readonly folder: string;
  readonly guest: Guest = { id: 'fake-guest', name: 'fake', kind: 'disk' };

  constructor(folder: string) {
    this.folder = folder;
  }

  static async create(folder: string, size: number): Promise<DirectoryHypervisor> {
    await mkdir(folder);
    writeFileSync(join(folder, 'disk'), Buffer.alloc(size));
    return new DirectoryHypervisor(folder);
  }

  content(): Buffer {
    return readFileSync(join(this.folder, 'disk'));
  }

  guestWrite(offset: number, bytes: Buffer): void {
    const content = this.content();
    bytes.copy(content, offset);
    writeFileSync(join(this.folder, 'disk'), content);
    const first = Math.floor(offset / TRACKING_UNIT);
    const last = Math.floor((offset + bytes.length - 1) / TRACKING_UNIT);
    for (const name of this.names('check-')) {
      const units = this.#units(name);
      for (let unit = first; unit <= last; unit += 1) units.add(unit);
      writeFileSync(join(this.folder, name), JSON.stringify([...units]));
    }
  }

  /** What is there of a kind: `check-` or `snap-`. */
  names(prefix: string): readonly string[] {
    return readdirSync(this.folder).filter((name) => name.startsWith(prefix));
  }

  async find(): Promise<Guest> {
    return this.guest;
  }

  async snapshot(_guest: Guest, { backupId, since, journal, keepCheckpoint }: SnapshotRequest): Promise<Snapshot> {
    await journal.record({ snapshot: backupId, keep: keepCheckpoint });
    const content = this.content();
    writeFileSync(join(this.folder, `snap-${backupId}`), content);
    const changes = this.#changes(since?.['name'], content.length);
    if (keepCheckpoint) writeFileSync(join(this.folder, `check-${backupId}`), '[]');
    let committing = false;
    return {
      time: new Date(),
      checkpoint: keepCheckpoint ? { name: `check-${backupId}` } : null,
      configuration: [],
      disks: [
        {
          name: 'xvda',
          id: 'disk',
          label: '',
          size: content.length,
          changes,
          open: async () => new FakeReader(content),
        },
      ],
      commit: async () => {
        committing = true;
        await this.#settle(backupId, { committed: true, keep: keepCheckpoint });
      },
      [Symbol.asyncDispose]: async () => {
        if (!committing) await this.#settle(backupId, { committed: false, keep: keepCheckpoint });
      },
    };
  }

  async recover({ entries, committed }: Leftover): Promise<void> {
    for (const entry of entries) {
      await this.#settle(text(entry['snapshot']), { committed, keep: entry['keep'] === true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #settle(backupId: string, how: { readonly committed: boolean; readonly keep: boolean }): Promise<void> {
    rmSync(join(this.folder, `snap-${backupId}`), { force: true });
    await new Promise((resolve) => setImmediate(resolve));
    const own = `check-${backupId}`;
    if (!how.committed) rmSync(join(this.folder, own), { force: true });
    else if (how.keep) for (const name of this.names('check-')) if (name !== own) rmSync(join(this.folder, name));
  }

  #changes(checkpoint: unknown, size: number): Changes {
    if (checkpoint === undefined) return { kind: 'all' };
    const name = text(checkpoint);
    if (!this.names('check-').includes(name)) return { kind: 'all', reason: 'base-missing' };
    const units = [...this.#units(name)].toSorted((left, right) => left - right);
    const extents = units.map((unit) => {
      const offset = unit * TRACKING_UNIT;
      return { offset, length: Math.min(TRACKING_UNIT, size - offset) };
    });
    return { kind: 'since', extents: [...coalesce(extents)], method: 'fake' };
  }

  #units(name: string): Set<number> {
    return new Set(v.parse(tracked, JSON.parse(readFileSync(join(this.folder, name), 'utf8'))));
  }
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
