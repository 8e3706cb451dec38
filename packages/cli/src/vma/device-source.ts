import { resolve } from 'node:path';
import { isNbdUri } from '../subject.js';
import { usageError } from '../usage.js';

/** A device of an archive that is to be made, as `--device` names it. */
export interface DeviceSource {
  readonly name: string;
  /** A path, absolute, or an NBD URI. */
  readonly selector: string;
  /** `raw`, `qcow2`, …; undefined where content and name decide. */
  readonly format: string | undefined;
}

const SYNTAX = /^(?:format=([a-z0-9]+):)?(?:([^=/:]+)=)?(.+)$/s;

/**
 * Reads `[format=<format>:][<name>=]<source>`; without a name it is `disk0`, `disk1`, … as Proxmox has it.
 * @throws VBackupError VB_CLI_USAGE
 */
export function deviceSources(texts: readonly string[], cwd: string): readonly DeviceSource[] {
  const sources = texts.map((text, at) => {
    const [, format, name = `disk${at}`, source = ''] = SYNTAX.exec(text) ?? [];
    if (source === '') throw usageError(`--device ${text} names no source`, 'write --device drive-scsi0=disk.raw');
    if (!isNbdUri(source)) return { name, selector: resolve(cwd, source), format };
    if (format !== undefined) throw usageError(`--device ${text}: an NBD export has no format`, 'leave it out');
    return { name, selector: source, format };
  });
  const names = sources.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw usageError(`two devices are called ${twice}`);
  return sources;
}
