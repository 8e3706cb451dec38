import { extname } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import type { ImageFormat, ImageHeader } from './image-header.js';

/** `--file-format`, and the names that people have for QEMU's. */
const BY_NAME: Readonly<Record<string, ImageFormat>> = {
  raw: 'raw',
  qcow2: 'qcow2',
  vhd: 'vpc',
  vpc: 'vpc',
  vhdx: 'vhdx',
  vmdk: 'vmdk',
  vdi: 'vdi',
};

const BY_EXTENSION: Readonly<Record<string, ImageFormat>> = {
  '.raw': 'raw',
  '.img': 'raw',
  '.iso': 'raw',
  '.bin': 'raw',
  '.dd': 'raw',
  '.qcow2': 'qcow2',
  '.vhd': 'vpc',
  '.vpc': 'vpc',
  '.vhdx': 'vhdx',
  '.vmdk': 'vmdk',
  '.vdi': 'vdi',
};

/** @throws VBackupError VB_PLUGIN_OPTION */
export function parseFormat(name: string): ImageFormat {
  const format = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined;
  if (format !== undefined) return format;
  throw new VBackupError('VB_PLUGIN_OPTION', `${JSON.stringify(name)} is no image format that vbackup reads`, {
    cure: `give one of ${Object.keys(BY_NAME).join(', ')}`,
  });
}

/** As `--file-format` takes it. */
export const formatName = (format: ImageFormat): string => (format === 'vpc' ? 'vhd' : format);

export interface FormatQuestion {
  readonly path: string;
  readonly isBlockDevice: boolean;
  readonly header: ImageHeader;
  /** What the user said; null where nothing. */
  readonly asked: ImageFormat | null;
  /** What the last backup took it for; null where there is none. */
  readonly before: ImageFormat | null;
}

export interface FormatChoice {
  readonly format: ImageFormat;
  readonly warning: string | null;
}

/**
 * Decides what an image is read as. A guest can write any header into a raw disk, to have its backups read as something
 * else, or other files of the host read into them. So a header is believed only where the user, or the file's name, does
 * not say raw, and where the image needs nothing besides itself. Raw is never wrong: it is the file, byte for byte.
 * @throws VBackupError VB_IMAGE_FORMAT
 */
export function chooseFormat(question: FormatQuestion): FormatChoice {
  const { path, header, asked } = question;
  if (asked !== null) return { format: checkAsked(path, header, asked), warning: null };
  const named = question.isBlockDevice ? 'raw' : namedFormat(path);
  if (header.format === 'raw' || (header.trailing === true && named !== header.format)) {
    const expected = named === undefined || named === 'raw' ? null : formatName(named);
    return {
      format: 'raw',
      warning: expected && `${path} is no ${expected}, whatever its name says: it is read as raw`,
    };
  }
  const found = formatName(header.format);
  const told = `if it is one, give --file-format ${found}, else --file-format raw`;
  if (named === 'raw') {
    return { format: 'raw', warning: `${path} begins as a ${found} does, and is read as raw: ${told}` };
  }
  if (question.before === 'raw') {
    return { format: 'raw', warning: `${path} looks like a ${found} now, and is read as raw as before: ${told}` };
  }
  if (header.needs === null) return { format: header.format, warning: null };
  throw new VBackupError('VB_IMAGE_FORMAT', `${path} looks like a ${found} that needs ${header.needs}`, {
    cure: header.unreadable === true ? 'merge it with its parent, or give --file-format raw' : told,
  });
}

const namedFormat = (path: string): ImageFormat | undefined => {
  const extension = extname(path).toLowerCase();
  return Object.hasOwn(BY_EXTENSION, extension) ? BY_EXTENSION[extension] : undefined;
};

function checkAsked(path: string, header: ImageHeader, asked: ImageFormat): ImageFormat {
  if (asked === 'raw') return asked;
  if (header.format !== asked) {
    const found = header.format === 'raw' ? 'has no such header' : `looks like a ${formatName(header.format)}`;
    throw new VBackupError('VB_IMAGE_FORMAT', `${path} is no ${formatName(asked)}: it ${found}`, {
      cure: `give --file-format ${formatName(header.format)}, or nothing`,
    });
  }
  if (header.unreadable === true) {
    throw new VBackupError('VB_IMAGE_FORMAT', `${path} needs ${header.needs}`, {
      cure: 'merge it with its parent, or give --file-format raw',
    });
  }
  return asked;
}
