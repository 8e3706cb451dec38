import type { BitmapEdit, ImageInfo, ImageInfoOptions, NbdAddress, WithSignal } from '@vbackup/core';
import { addBitmap, imageInfo, QemuNbd, qemuVersion, removeBitmap, removeQemuFolder } from '@vbackup/core/qemu';

/** What is done to images that no domain has open. */
export interface ImageTools {
  info(path: string, options: ImageInfoOptions): Promise<ImageInfo>;
  addBitmap(edit: BitmapEdit): Promise<void>;
  /** A bitmap or an image that is not there is as good. */
  removeBitmap(edit: BitmapEdit): Promise<void>;
  /** The export is called like the disk's target. */
  serve(request: ServeRequest): Promise<ImageServer>;
  /** The programs and their versions, for people. @throws VBackupError VB_QEMU_MISSING */
  versions(options: WithSignal): Promise<string>;
  /** Ends the server that a dead run left in its folder. */
  removeFolder(folder: string): Promise<void>;
}

export interface ServeRequest extends WithSignal {
  readonly path: string;
  readonly format: string;
  readonly target: string;
  /** Offered as the meta context `qemu:dirty-bitmap:<name>`. */
  readonly bitmap: string | null;
  readonly folder: string;
  readonly connections: number;
}

/** One image, exported for reading. While it is, QEMU lets nobody write it, unless it is raw. */
export interface ImageServer extends AsyncDisposable {
  readonly address: NbdAddress;
  /** What a client's error really was. */
  explain(error: unknown): Promise<unknown>;
}

/** QEMU's own programs, on this machine. */
export const qemuImageTools: ImageTools = {
  info: (path, options) => imageInfo(path, options),
  addBitmap,
  removeBitmap,
  serve: ({ bitmap, target, ...more }) =>
    QemuNbd.start({ ...more, exportName: target, readOnly: true, bitmap: bitmap ?? undefined }),
  removeFolder: removeQemuFolder,
  versions: async (options) => {
    const told = PROGRAMS.map(async (program) => `${program} ${await qemuVersion(program, options)}`);
    return (await Promise.all(told)).join(', ');
  },
};

const PROGRAMS = ['qemu-img', 'qemu-nbd'] as const;
