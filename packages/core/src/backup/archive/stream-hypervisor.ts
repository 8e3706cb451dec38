import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type {
  ConfigurationFile,
  Guest,
  Hypervisor,
  Snapshot,
  SnapshotDisk,
  SnapshotRequest,
  WithSignal,
} from '../../hypervisor/index.js';
import type { ChainFile } from '../../sparse-stream/index.js';
import { withIo } from '../../storage/io-error.js';
import { stillSnapshot } from './backup-hypervisor.js';
import { chainsOfFolder } from './stream-chains.js';
import { StreamImage } from './stream-image.js';
import { plainName } from './vma-guest.js';

const DISK_NAME = /^[A-Za-z0-9_-]+$/;
const UUID = /<uuid>\s*([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*<\/uuid>/i;
const NAME = /<name>([^<]+)<\/name>/;
/** A definition of a machine is not longer. */
const MAX_CONFIG_LENGTH = 4 * 1024 * 1024;

/**
 * A folder of virtnbdbackup as the guest that it is a backup of, as it was at the newest point of its chain. Another
 * folder of the same guest is compared with the one before. Whoever asks for any guest gets this one.
 */
export class StreamHypervisor implements Hypervisor {
  readonly #folder: string;
  #config: Promise<ConfigurationFile | null> | undefined;

  /** @param folder - absolute */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** The guest is known by the UUID of its definition, else by the folder's name. */
  async find(): Promise<Guest> {
    const xml = (await this.#definition())?.content.toString('utf8') ?? '';
    const folder = basename(this.#folder);
    return { id: UUID.exec(xml)?.[1]?.toLowerCase() ?? folder, name: NAME.exec(xml)?.[1] ?? folder, kind: 'machine' };
  }

  /** @throws VBackupError VB_CHAIN_…, VB_FILE_NOT_FOUND, VB_IO; ProtocolError VB_SPARSE_… */
  async snapshot(
    _guest: Guest,
    { since, keepCheckpoint }: SnapshotRequest,
    { signal }: WithSignal = {},
  ): Promise<Snapshot> {
    const chains = await chainsOfFolder(this.#folder, { signal });
    const disks = chains.map((files) => diskOf(files, { compare: since !== null }));
    const dates = chains
      .map((files) => Date.parse(files.at(-1)?.meta.date ?? ''))
      .filter((time) => !Number.isNaN(time));
    const config = await this.#definition();
    return stillSnapshot({
      time: dates.length === 0 ? new Date() : new Date(Math.max(...dates)),
      checkpoint: keepCheckpoint ? { folder: basename(this.#folder) } : null,
      disks,
      configuration: config === null ? [] : [{ name: 'vmconfig.xml', content: config.content }],
    });
  }

  async recover(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The newest definition of the machine, by the time of its file. */
  #definition(): Promise<ConfigurationFile | null> {
    this.#config ??= this.#readDefinition();
    return this.#config;
  }

  async #readDefinition(): Promise<ConfigurationFile | null> {
    const names = (await this.#names()).filter((name) => /^vmconfig\..+\.xml$/.test(name));
    const name = names.toSorted((left, right) => left.localeCompare(right, 'en', { numeric: true })).at(-1);
    if (name === undefined) return null;
    const path = join(this.#folder, name);
    const content = await withIo(`cannot read ${path}`, () => readFile(path));
    return content.length > MAX_CONFIG_LENGTH ? null : { name, content };
  }

  async #names(): Promise<readonly string[]> {
    return (await withIo(`cannot read the folder ${this.#folder}`, () => readdir(this.#folder))).toSorted();
  }
}

function diskOf(files: readonly ChainFile[], { compare }: { readonly compare: boolean }): SnapshotDisk {
  const { diskName, virtualSize: size } = files.at(-1)?.meta ?? { diskName: '', virtualSize: 0 };
  return {
    name: plainName(diskName, DISK_NAME),
    id: diskName,
    label: '',
    size,
    changes: compare ? { kind: 'compare', extents: [{ offset: 0, length: size }], method: 'digests' } : { kind: 'all' },
    open: ({ signal }) =>
      StreamImage.open(
        files.map(({ path }) => path),
        { signal },
      ),
  };
}
