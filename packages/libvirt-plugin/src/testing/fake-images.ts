import { type BitmapEdit, type DirtyBitmap, type ImageInfo, VBackupError } from '@vbackup/core';
import type { ImageServer, ImageTools, ServeRequest } from '../backup/index.js';

/** An image that nobody told anything about. */
const PLAIN: ImageInfo = {
  format: 'qcow2',
  virtualSize: 2 ** 20,
  backingFile: null,
  backingPath: null,
  backingFormat: null,
  dataFile: null,
  encrypted: false,
  bitmaps: [],
  clusterSize: null,
  qcow2: null,
};

/** Images by their paths, in memory: every path is one. While one is served nobody changes it, as QEMU's locks have it. */
export class FakeImages implements ImageTools {
  readonly #infos = new Map<string, ImageInfo>();
  readonly #faults = new Map<string, Error[]>();
  /** Paths that are served now. */
  readonly served: string[] = [];
  readonly requests: ServeRequest[] = [];
  /** Folders of servers that were ended. */
  readonly removedFolders: string[] = [];
  /** What was done to images, in order: `add a.qcow2`. */
  readonly calls: string[] = [];

  set(path: string, info: Partial<ImageInfo>): void {
    this.#infos.set(path, { ...this.#infoOf(path), ...info });
  }

  /** The next `call` (`add`, `remove`, `serve`) throws. */
  fail(call: string, error: Error): void {
    this.#faults.set(call, [...(this.#faults.get(call) ?? []), error]);
  }

  names(path: string): readonly string[] {
    return this.#infoOf(path).bitmaps.map(({ name }) => name);
  }

  setBitmap(path: string, name: string, flags: Partial<DirtyBitmap> = {}): void {
    const bitmap = { name, granularity: 65_536, auto: true, inUse: false, ...flags };
    const others = this.#infoOf(path).bitmaps.filter((each) => each.name !== name);
    this.set(path, { bitmaps: [...others, bitmap] });
  }

  info(path: string): Promise<ImageInfo> {
    return Promise.resolve(this.#infoOf(path));
  }

  async addBitmap({ path, name }: BitmapEdit): Promise<void> {
    this.#change('add', path);
    this.setBitmap(path, name);
  }

  async removeBitmap({ path, name }: BitmapEdit): Promise<void> {
    this.#change('remove', path);
    this.set(path, { bitmaps: this.#infoOf(path).bitmaps.filter((each) => each.name !== name) });
  }

  async serve(request: ServeRequest): Promise<ImageServer> {
    this.#call('serve', request.path);
    this.requests.push(request);
    this.served.push(request.path);
    const { served } = this;
    return {
      address: { kind: 'unix', path: request.folder },
      explain: (error) => Promise.resolve(error),
      [Symbol.asyncDispose]: async () => void served.splice(served.indexOf(request.path), 1),
    };
  }

  async versions(): Promise<string> {
    this.#call('versions', '');
    return 'qemu-img 7.2.0';
  }

  removeFolder(folder: string): Promise<void> {
    this.removedFolders.push(folder);
    return Promise.resolve();
  }

  #infoOf(path: string): ImageInfo {
    return this.#infos.get(path) ?? { ...PLAIN, format: path.endsWith('.raw') ? 'raw' : 'qcow2' };
  }

  #change(call: string, path: string): void {
    this.#call(call, path);
    if (this.served.includes(path)) throw new VBackupError('VB_IMAGE_LOCKED', `cannot open ${path}`);
  }

  #call(call: string, path: string): void {
    this.calls.push(`${call} ${path.replace(/^.*\//, '')}`);
    const fault = this.#faults.get(call)?.shift();
    if (fault !== undefined) throw fault;
  }
}
