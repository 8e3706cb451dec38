import type { ImageReader, MapExtent, MapMethod } from '@vbackup/core';
import { checkExists, type Subject } from '../subject.js';
import { mapJson } from './map-json.js';

/** A disk whose extents can be asked for, wherever it is. */
export interface MappedDisk extends AsyncDisposable {
  /** Bytes. */
  readonly size: number;
  /** How the extents are found: a method of a file map, `base:allocation`, or the `index` of a backup. */
  readonly method: string;
  /** Of files alone. */
  readonly fileSystem: string | null;
  /** A complete cover, ascending. */
  extents(signal: AbortSignal): AsyncIterable<MapExtent>;
  /** The same as `qemu-img map --output=json` prints it. */
  json(signal: AbortSignal): AsyncIterable<string>;
}

export interface OpenPathOptions {
  readonly method: MapMethod | 'auto';
  readonly signal: AbortSignal;
  readonly onWarning: (warning: { code: string; message: string }) => void;
}

/** A file or a block device of this machine. @throws VBackupError VB_FILE_NOT_FOUND, VB_FILE_TYPE, … */
export async function openPath(subject: Subject & { kind: 'path' }, options: OpenPathOptions): Promise<MappedDisk> {
  await checkExists(subject);
  const { openFilemap, qemuMapJson } = await import('@vbackup/core/devices');
  const map = await openFilemap(subject.path, options);
  return {
    size: map.size,
    method: map.method,
    fileSystem: map.fileSystem,
    extents: (signal) => map.extents(undefined, { signal }),
    json: (signal) => qemuMapJson(map.extents(undefined, { signal })),
    [Symbol.asyncDispose]: () => map[Symbol.asyncDispose](),
  };
}

/** An export of an NBD server; where the server does not know `base:allocation`, everything is data. */
export async function openExport(uri: string, options: { readonly signal: AbortSignal }): Promise<MappedDisk> {
  const { NbdClient, loadNbdUri } = await import('@vbackup/core/nbd/device');
  const client = await NbdClient.connect({ ...(await loadNbdUri(uri)), signal: options.signal });
  const { size, allocation } = client;
  const whole = { offset: 0, length: size };
  const extents = (signal: AbortSignal): AsyncIterable<MapExtent> => {
    if (size === 0) return each([]);
    return allocation === undefined ? each([{ ...whole, kind: 'data' }]) : allocation(whole, { signal });
  };
  return {
    size,
    method: allocation === undefined ? 'none' : 'base:allocation',
    fileSystem: null,
    extents,
    json: (signal) => mapJson(extents(signal), { offsets: true, size }),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

/** A disk of a backup. Its bytes lie in frames, so that the map names no offsets in a file. */
export function mappedImage(image: ImageReader): MappedDisk {
  const { size } = image;
  return {
    size,
    method: 'index',
    fileSystem: null,
    extents: () => each(size === 0 ? [] : image.extents()),
    json: () => mapJson(each(size === 0 ? [] : image.extents()), { offsets: false, size }),
    [Symbol.asyncDispose]: () => image[Symbol.asyncDispose](),
  };
}

async function* each(extents: Iterable<MapExtent>): AsyncGenerator<MapExtent> {
  yield* extents;
}
