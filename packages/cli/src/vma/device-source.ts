import { resolve } from 'node:path';
import { isNbdUri } from '../subject.js';
import { usageError } from '../usage.js';

/** A device of an archive that is to be made, as `--device` names it. */
export interface DeviceSource {
  /** Undefined where the devices of an archive keep their own. */
  readonly name: string | undefined;
  /** A path, absolute, an NBD URI, or `-` for standard input; of {@link ARCHIVE_FORMAT} as it was written. */
  readonly selector: string;
  /** `raw`, `qcow2`, …; undefined where content and name decide. */
  readonly format: string | undefined;
  /** Bytes; of standard input, and only of it. */
  readonly size: number | undefined;
}

/** The format of a source that is a VMA archive, or one device of it: `<archive>[:<device>]`. */
export const ARCHIVE_FORMAT = 'vma';

const SYNTAX = /^(?:format=([a-z0-9]+):)?(?:size=(\d{1,16})([KMGT]?):)?(?:([^=/:]+)=)?(.+)$/s;
const UNITS = ['', 'K', 'M', 'G', 'T'];

/**
 * Reads `[format=<format>:][<name>=]<source>` or `size=<bytes>[K|M|G|T]:[<name>=]-`; without a name it is `disk0`, `disk1`, … as
 * Proxmox has it, and a device of an archive keeps its own.
 * @throws VBackupError VB_CLI_USAGE
 */
export function deviceSources(texts: readonly string[], cwd: string): readonly DeviceSource[] {
  const sources = texts.map((text, at) => {
    const [, format, digits, unit = '', own, source = ''] = SYNTAX.exec(text) ?? [];
    const name = own ?? `disk${at}`;
    const size = digits === undefined ? undefined : Number(digits) * 1024 ** UNITS.indexOf(unit);
    if (source === '') throw usageError(`--device ${text} names no source`, 'write --device drive-scsi0=disk.raw');
    const isStream = source === '-' && format !== ARCHIVE_FORMAT;
    if (isStream !== (size !== undefined)) {
      throw usageError(
        `--device ${text}: standard input, and nothing else, needs a size`,
        'write size=10G:drive-scsi0=-',
      );
    }
    if (own !== undefined && /[\s,]/.test(own)) {
      throw usageError(
        `--device ${text}: a name has neither commas nor white space`,
        `nobody could restore it by such a name: give it another; a file that is called so is ./${text}`,
      );
    }
    if (format === ARCHIVE_FORMAT) return { name: own, selector: source, format, size };
    if (source === '-') {
      if (format !== undefined && format !== 'raw') throw usageError('standard input is raw', 'leave the format out');
      return { name, selector: '-', format: undefined, size };
    }
    if (!isNbdUri(source)) return { name, selector: resolve(cwd, source), format, size };
    if (format !== undefined) throw usageError(`--device ${text}: an NBD export has no format`, 'leave it out');
    return { name, selector: source, format, size };
  });
  const names = sources.flatMap(({ name }) => name ?? []);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw usageError(`two devices are called ${twice}`);
  if (sources.filter(({ selector }) => selector === '-').length > 1) throw usageError('standard input is one disk');
  return sources;
}
