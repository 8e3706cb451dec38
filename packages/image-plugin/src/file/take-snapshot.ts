import { basename } from 'node:path';
import type { Changes, Snapshot, SnapshotRequest, Warning, WithSignal } from '@vbackup/core';
import { decideChanges } from '../decide-changes.js';
import { evidenceOf } from '../dirty-bitmap.js';
import { DiskSnapshot } from '../disk-snapshot.js';
import type { ImageSource } from '../image-source.js';
import { diskName } from '../names.js';
import { type FileCheckpoint, parseCheckpoint } from './checkpoint.js';
import { chooseFormat, formatName } from './choose-format.js';
import type { FoundImage } from './find-image.js';
import type { ImageFormat } from './image-header.js';
import { OpenedImage } from './opened-image.js';
import type { FileOptions } from './options.js';
import { RawSource } from './raw-source.js';

export interface FileContext {
  readonly options: FileOptions;
  readonly warn: (warning: Warning) => void;
}

/**
 * Opens an image for a backup and notes how it is, so that `confirm` can tell whether it stayed so.
 * @throws VBackupError VB_IMAGE_LOCKED, VB_IMAGE_FORMAT, VB_QEMU_MISSING, VB_QEMU_FAILED, VB_ACCESS_DENIED, VB_IO
 */
export async function takeSnapshot(
  context: FileContext,
  found: FoundImage,
  request: SnapshotRequest,
  { signal }: WithSignal = {},
): Promise<Snapshot> {
  const { id, path } = found;
  const image = await OpenedImage.open(path, context.warn);
  try {
    const before = request.since === null ? null : parseCheckpoint(request.since);
    const format = formatOf(context, image, before);
    const source = await openSource(context, { image, format, request, signal });
    const changes = changesOf(context, { before, format, source, request });
    const checkpoint = request.keepCheckpoint ? checkpointOf({ path, format, source }) : null;
    const name = basename(path);
    const open: ImageSource['open'] = (options) => source.open(options);
    return new DiskSnapshot({
      disk: { name: diskName(name), id, label: name, size: source.size, changes, open },
      checkpoint,
      confirm: () => image.confirm(),
      dispose: async () => {
        await using _image = image;
        await source[Symbol.asyncDispose]();
      },
    });
  } catch (error) {
    await image[Symbol.asyncDispose]();
    throw error;
  }
}

function formatOf({ options, warn }: FileContext, image: OpenedImage, before: FileCheckpoint | null): ImageFormat {
  const { path, isBlockDevice, header } = image;
  const choice = chooseFormat({ path, isBlockDevice, header, asked: options.format, before: before?.format ?? null });
  if (choice.warning !== null) warn({ code: 'VB_IMAGE_FORMAT', message: choice.warning });
  return choice.format;
}

interface SourceQuestion extends WithSignal {
  readonly image: OpenedImage;
  readonly format: ImageFormat;
  readonly request: SnapshotRequest;
}

async function openSource(context: FileContext, question: SourceQuestion): Promise<ImageSource> {
  const { image, format, request, signal } = question;
  const { path, handle, identity, header, size } = image;
  const { warn } = context;
  const { bitmap } = context.options;
  if (bitmap !== null && format !== 'qcow2') {
    warn({
      code: 'VB_BITMAP_UNTRUSTED',
      message: `${path} is read as ${formatName(format)}, which has no dirty bitmaps`,
    });
  }
  if (format === 'raw') return RawSource.open({ path, handle, warn, signal });
  // What speaks to QEMU takes longer to load than a small raw image to read.
  const [{ checkWhole }, { QemuSource }] = await Promise.all([import('./check-whole.js'), import('./qemu-source.js')]);
  const named = format === 'qcow2' ? bitmap : null;
  if (header.needs === null && size !== null) await checkWhole({ path, format, size, signal });
  return QemuSource.open({ path, file: identity, format, bitmap: named, journal: request.journal, warn, signal });
}

interface ChangesParts {
  readonly before: FileCheckpoint | null;
  readonly format: ImageFormat;
  readonly source: ImageSource;
  readonly request: SnapshotRequest;
}

function changesOf({ warn }: FileContext, { before, format, source, request }: ChangesParts): Changes {
  if (request.since === null) return { kind: 'all' };
  if (before === null) return { kind: 'all', reason: 'base-foreign' };
  if (before.format !== format) {
    const detail = `it was read as ${formatName(before.format)} and is read as ${formatName(format)}`;
    return { kind: 'all', reason: 'disk-replaced', detail };
  }
  return decideChanges({ since: before, source, warn });
}

function checkpointOf(parts: {
  readonly path: string;
  readonly format: ImageFormat;
  readonly source: ImageSource;
}): FileCheckpoint {
  const { path, format, source } = parts;
  const bitmap = source.bitmap === null ? null : evidenceOf(source.bitmap);
  return { version: 1, kind: 'file', path, format, size: source.size, bitmap };
}
