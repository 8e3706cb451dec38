import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { peerDataName } from '../../sparse-stream/peer-files.js';
import type { BackupLevel } from '../manifest.js';

/** The folder of our own files inside a chain. */
export const SIDE_FOLDER = '.vbackup';

export const ID_PATTERN = /^[0-9a-f]{16}$/;
export const CHAIN_PATTERN = /^\d{8}T\d{6}Z-[0-9a-f]{8}$/;
const CHECKPOINT_NAME = /^virtnbdbackup\.(\d{1,9})$/;

/** 16 random lower-case hex digits. */
export const randomId = (): string => randomBytes(8).toString('hex');

/** A name as one path component; different names stay different. */
export function pathComponent(name: string): string {
  const encoded = encodeURIComponent(name).replace(/[!'()*~]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  return encoded.replace(/^\.+/, (dots) => '%2e'.repeat(dots.length));
}

/** `20261120T123305Z-<first 8 digits of the id>`. */
export function chainName(time: Date, id: string): string {
  const stamp = time
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replace(/[-:]/g, '');
  return `${stamp}-${id.slice(0, 8)}`;
}

/** The inverse of `peerCheckpointName`; 0 for a name that is not the peer's. */
export const checkpointNumber = (name: string): number => Number(CHECKPOINT_NAME.exec(name)?.[1] ?? 0);

/** What the peer's file names carry of one backup: the checkpoint, unix seconds of a differential, or `copy`. */
export interface BackupIdent {
  readonly level: BackupLevel;
  readonly checkpointName: string;
  readonly seconds: number;
}

/** `<ident>` in `vmconfig.<ident>.xml`. */
export function identOf(ident: BackupIdent): string {
  if (ident.level === 'diff') return String(ident.seconds);
  return ident.level === 'copy' ? 'copy' : ident.checkpointName;
}

/** The stream's name; a disk that joins a chain later gets a full of its own there. */
export function streamName(disk: { readonly name: string; readonly level: BackupLevel }, ident: BackupIdent): string {
  const joins = ident.level === 'inc' && disk.level === 'full';
  const { checkpointName, seconds } = ident;
  const at = new Date(seconds * 1000);
  return peerDataName({ target: disk.name, level: joins ? 'full' : ident.level, checkpointName, at });
}

/** A file of ours beside the manifest, relative to the chain. */
export const sidePath = (id: string, name: string): string => join(SIDE_FOLDER, `${id}.${name}`);

/** The manifest, relative to the chain. */
export const manifestPath = (id: string): string => join(SIDE_FOLDER, `${id}.json`);
