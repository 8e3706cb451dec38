import { createHash } from 'node:crypto';

/** A place's folder is named by the guest's id, percent-encoded, and a name has at most 255 bytes. */
const ID_LENGTH = 200;
const DISK_NAME_LENGTH = 48;

/** A guest's id as it is, or, where it is too long for the name of a folder, its end and its digest. */
export function guestId(name: string): string {
  if (encodeURIComponent(name).length <= ID_LENGTH) return name;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 32);
  const tail = name.slice(-16).replaceAll(/[^A-Za-z0-9._-]/g, '_');
  return `${digest}-${tail}`;
}

/** A name for the files of a disk: letters, digits, `-` and `_`; the last extension is left out. */
export function diskName(name: string): string {
  const stem = name.replace(/(?<=.)\.[A-Za-z][A-Za-z0-9]{0,7}$/, '');
  const clean = stem.replaceAll(/[^A-Za-z0-9_-]+/g, '_').slice(0, DISK_NAME_LENGTH);
  return clean === '' ? 'disk' : clean;
}
