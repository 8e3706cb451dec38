import assert from 'node:assert/strict';
import { readdir, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { VBackupError } from '../../errors/index.js';
import type { Journal } from '../../hypervisor/index.js';
import {
  checkpointListJson,
  checksumName,
  minimalDomainXml,
  PEER_DISK_FORMAT,
  peerCheckpointName,
  peerConfigName,
} from '../../sparse-stream/peer-files.js';
import { ignoringMissing, makeDirectory, writeDurably } from '../../storage/durable.js';
import { withIo } from '../../storage/io-error.js';
import { newDigestAlgorithm } from '../frame-digest/frame-digest.js';
import type { ImageWriter } from '../image.js';
import type { Manifest, ManifestDisk, ManifestFile } from '../manifest.js';
import type { BackupDraft, BackupPlan, CommitRecord, DraftChoice, DraftDisk, Tip } from '../repository.js';
import { sharedWorkers } from '../workers/worker-pool.js';
import type { PlaceShape } from './chain-place.js';
import { removeDraft } from './clean-up.js';
import { fileEntry } from './file-entry.js';
import { JournalFile } from './journal.js';
import { encodeManifest } from './manifest-file.js';
import {
  type BackupIdent,
  chainName,
  checkpointNumber,
  identOf,
  manifestPath,
  pathComponent,
  randomId,
  SIDE_FOLDER,
  sidePath,
  streamName,
} from './names.js';
import { TOOL_VERSION } from './tool-version.js';

/** The level that LZ4 frames of the peer name; ours are as fast. */
const LZ4_LEVEL = 2;
/** Files of a chain are ordered by their time, in the peer's restore; neighbours differ by this much at least. */
const FILE_TIME_STEP_MS = 10;

interface DraftShape extends PlaceShape {
  readonly plan: BackupPlan;
  readonly tip: Tip;
  /** The place's newest backup, of whatever level. */
  readonly newest: string | undefined;
}

/** What {@link ChainDraft.choose} decided. */
interface Choice {
  /** Relative to the repository. */
  readonly chain: string;
  readonly parent: Manifest | null;
  readonly ident: BackupIdent;
  readonly time: Date;
}

type DiskFiles = Pick<ManifestDisk, 'file' | 'index' | 'dataLength' | 'storedLength'>;

/** A backup in a chain that has no manifest yet. Every file that it makes is in its journal before. */
export class ChainDraft implements BackupDraft {
  readonly id: string;
  readonly #shape: DraftShape;
  readonly #journal: JournalFile;
  readonly #files: ManifestFile[] = [];
  readonly #disks = new Map<string, DiskFiles>();
  readonly #made: string[] = [];
  readonly #open = new Set<ImageWriter>();
  #madeChain: string | null = null;
  #choice: Choice | null = null;
  #state: 'open' | 'committed' | 'removed' = 'open';
  #closed = false;
  #fileTime = 0;

  private constructor(id: string, shape: DraftShape, journal: JournalFile) {
    this.id = id;
    this.#shape = shape;
    this.#journal = journal;
  }

  static async begin(shape: DraftShape): Promise<ChainDraft> {
    const id = randomId();
    return new ChainDraft(id, shape, await JournalFile.create(join(shape.root, shape.place), id));
  }

  get journal(): Journal {
    return this.#journal;
  }

  async choose({ level, time }: Pick<DraftChoice, 'level' | 'time'>): Promise<void> {
    assert.equal(this.#choice, null);
    const seconds = Math.floor(time.getTime() / 1000);
    if (level === 'full' || level === 'copy') {
      const chain = join(this.#shape.place, chainName(time, this.id));
      await this.#journal.chain(chain);
      this.#madeChain = chain;
      await makeDirectory(join(this.#shape.root, chain, SIDE_FOLDER));
      this.#choice = { chain, parent: null, time, ident: { level, seconds, checkpointName: peerCheckpointName(0) } };
      return;
    }
    const { tip } = this.#shape;
    if (tip.kind !== 'backup') throw new VBackupError('VB_CHAIN_BROKEN', `no backup that a ${level} can stand on`);
    const parent = tip.manifest;
    const name = peerCheckpointName(checkpointNumber(parent.checkpointName) + 1);
    this.#choice = { chain: parent.chain, parent, time, ident: { level, seconds, checkpointName: name } };
    await this.#lookAround(parent.chain);
  }

  async disk(disk: DraftDisk): Promise<ImageWriter> {
    const { parent, ident, time } = this.#chosen();
    const file = streamName(disk, ident);
    const index = sidePath(this.id, `${disk.name}.index`);
    const incremental = disk.level === 'inc' || disk.level === 'diff';
    const path = await this.#claim(file);
    const indexPath = await this.#claim(index);
    const { StreamImageWriter } = await import('../image/stream-image-writer.js');
    const writer = await StreamImageWriter.open({
      path,
      indexPath,
      compression: this.#shape.plan.compression,
      algorithm: newDigestAlgorithm(),
      disksAtOnce: disk.disksAtOnce,
      workers: sharedWorkers,
      stream: {
        virtualSize: disk.size,
        diskName: disk.name,
        diskFormat: PEER_DISK_FORMAT,
        checkpointName: ident.checkpointName,
        parentCheckpoint: incremental ? (parent?.checkpointName ?? '') : '',
        incremental,
        compressed: this.#shape.plan.compression === 'none' ? false : LZ4_LEVEL,
        date: time,
        dataSize: disk.plannedData,
        extra: { vbackup: { id: this.id, parent: incremental ? (parent?.id ?? null) : null } },
      },
      onFinished: async ({ stream, index: indexDone, summary }) => {
        this.#open.delete(writer);
        await this.#order(path);
        this.#files.push({ path: file, size: stream.size, sha256: stream.sha256 });
        this.#files.push({ path: index, size: indexDone.size, sha256: indexDone.sha256 });
        await this.#write(checksumName(file), String(stream.adler32));
        this.#disks.set(disk.name, { file, index, ...summary });
      },
    });
    this.#open.add(writer);
    return writer;
  }

  async commit(record: CommitRecord): Promise<Manifest> {
    const { chain, parent, ident, time } = this.#chosen();
    assert.equal(this.#state, 'open');
    for (const { name, content } of record.configuration) await this.#write(sidePath(this.id, name), content);
    const { guest, compression } = this.#shape.plan;
    const domain = { name: guest.name, disks: record.disks.map(({ name }) => ({ target: name })) };
    await this.#write(peerConfigName(identOf(ident)), minimalDomainXml(domain));
    const manifest: Manifest = {
      format: 'vbackup-manifest',
      version: 1,
      id: this.id,
      time: time.toISOString(),
      level: ident.level,
      reason: record.reason,
      parent: parent?.id ?? null,
      after: this.#shape.newest,
      chain,
      checkpointName: ident.checkpointName,
      hypervisor: this.#shape.key.hypervisor,
      guest: { id: guest.id, name: guest.name, kind: guest.kind },
      checkpoint: record.checkpoint,
      compression,
      disks: record.disks.map((disk) => ({ ...disk, ...this.#filesOf(disk.name) })),
      files: this.#files,
      tool: { name: 'vbackup', version: TOOL_VERSION },
    };
    await writeDurably(await this.#claim(manifestPath(this.id)), encodeManifest(manifest));
    this.#state = 'committed';
    await this.#listCheckpoints(chain, ident);
    return manifest;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    if (this.#state !== 'committed') await this.#remove();
    this.#closed = true;
    await this.#journal.close();
    await this.#journal.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state === 'open') await this.#remove();
    if (this.#closed) return;
    this.#closed = true;
    await this.#journal.close();
  }

  /** For the peer's tools only: belongs to the chain, not to this backup, and is written anew with each. */
  async #listCheckpoints(chain: string, { level, checkpointName }: BackupIdent): Promise<void> {
    if (level !== 'full' && level !== 'inc') return;
    const count = checkpointNumber(checkpointName) + 1;
    const names = Array.from({ length: count }, (_, number) => peerCheckpointName(number));
    const path = join(this.#shape.root, chain, `${pathComponent(this.#shape.plan.guest.name)}.cpt`);
    // The backup stands; a list that could not be written is written by the next one.
    await writeDurably(path, checkpointListJson(names)).catch(() => undefined);
  }

  async #remove(): Promise<void> {
    if (this.#state === 'removed') return;
    for (const writer of this.#open) await writer.abort();
    this.#open.clear();
    const { root, place } = this.#shape;
    await removeDraft(root, place, { backupId: this.id, chain: this.#madeChain, files: this.#made, entries: [] });
    this.#state = 'removed';
  }

  /** Notes a file that is about to be made, and refuses to replace one. @returns its absolute path */
  async #claim(path: string): Promise<string> {
    const relative = join(this.#chosen().chain, path);
    const absolute = join(this.#shape.root, relative);
    const found = await withIo(`cannot look at ${absolute}`, () => ignoringMissing(async () => stat(absolute)));
    if (found !== null) {
      throw new VBackupError(
        'VB_REPOSITORY_DAMAGED',
        `${absolute} exists and belongs to no backup that could be read`,
        {
          cure: 'run vbackup verify; a full backup begins a new chain',
        },
      );
    }
    await this.#journal.file(relative);
    this.#made.push(relative);
    return absolute;
  }

  async #write(path: string, content: string | Buffer): Promise<void> {
    const bytes = Buffer.from(content);
    await writeDurably(await this.#claim(path), bytes);
    this.#files.push(fileEntry(path, bytes));
  }

  #chosen(): Choice {
    if (this.#choice === null) throw new VBackupError('VB_INTERNAL', `backup ${this.id} has no chain yet`);
    return this.#choice;
  }

  #filesOf(name: string): DiskFiles {
    const files = this.#disks.get(name);
    if (files === undefined) throw new VBackupError('VB_INTERNAL', `disk ${name} was not finished`);
    return files;
  }

  /** Learns the newest file time of the chain, and a differential's number that is not taken. */
  async #lookAround(chain: string): Promise<void> {
    const folder = join(this.#shape.root, chain);
    const names = await withIo(`cannot read the folder ${folder}`, () => readdir(folder));
    for (const name of names.filter((other) => other.endsWith('.data'))) {
      this.#fileTime = Math.max(this.#fileTime, (await stat(join(folder, name))).mtimeMs);
    }
    const choice = this.#chosen();
    let { seconds } = choice.ident;
    while (names.some((name) => name.includes(`.diff.${seconds}.`) || name === `vmconfig.${seconds}.xml`)) seconds += 1;
    this.#choice = { ...choice, ident: { ...choice.ident, seconds } };
  }

  /** The peer's restore reads a chain in the order of its file times, and clocks go back. */
  async #order(path: string): Promise<void> {
    const { mtimeMs, atime } = await stat(path);
    const wanted = Math.max(mtimeMs, this.#fileTime + FILE_TIME_STEP_MS);
    // Before anything is waited for: another disk may end at the same time.
    this.#fileTime = wanted;
    if (wanted > mtimeMs) await withIo(`cannot set the time of ${path}`, () => utimes(path, atime, new Date(wanted)));
  }
}
