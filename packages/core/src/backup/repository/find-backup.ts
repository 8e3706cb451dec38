import { VBackupError } from '../../errors/index.js';
import type { Manifest, ManifestDisk } from '../manifest.js';
import type { Catalogue } from '../repository.js';

const ID_PREFIX = /^[0-9a-f]{1,16}$/;
/** A date, or a date and a time of day, with or without a zone (ISO 8601, extended form). */
const TIME = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:\d{2})?)?$/;

/** What a reference of a user names: a backup, and one of its disks if the reference named one. */
export interface FoundBackup {
  readonly manifest: Manifest;
  readonly disk?: string | undefined;
}

/**
 * Finds the backup that a user means: its id, a prefix of it that no other has, `<disk>@latest`, or `<disk>@<time>`: the
 * newest at or before that time. `<disk>` is the id, name or label of a guest or a disk. A date alone means its end, a
 * time without a zone is local.
 * @throws VBackupError VB_BACKUP_NOT_FOUND, VB_BACKUP_AMBIGUOUS, VB_INVALID_ARGUMENT
 */
export function findBackup(catalogue: Catalogue, reference: string): FoundBackup {
  const at = reference.lastIndexOf('@');
  if (at < 0) return { manifest: byId(catalogue, reference) };
  const until = latestTime(reference.slice(at + 1), reference);
  return bySubject(catalogue, reference.slice(0, at), until, reference);
}

function byId(catalogue: Catalogue, reference: string): Manifest {
  const prefix = reference.toLowerCase();
  const found = ID_PREFIX.test(prefix) ? catalogue.backups.filter(({ id }) => id.startsWith(prefix)) : [];
  const [manifest] = found;
  if (manifest === undefined) throw namesSubject(catalogue, reference) ? notABackup(reference) : notFound(reference);
  if (found.length > 1)
    throw ambiguous(
      reference,
      found.map(({ id }) => id),
    );
  return manifest;
}

/** One guest, or one disk of it. */
interface Subject {
  readonly key: string;
  readonly label: string;
  readonly manifest: Manifest;
  readonly disk?: string;
}

/** Exact ids come before names, and a guest's before a disk's: the first way in which anything is found decides. */
const WAYS: readonly ((manifest: Manifest, word: string) => readonly Subject[])[] = [
  (manifest, word) => (manifest.guest.id === word ? [guestOf(manifest)] : []),
  (manifest, word) => manifest.disks.filter(({ id }) => id === word).map((disk) => diskOf(manifest, disk)),
  (manifest, word) => (manifest.guest.name === word ? [guestOf(manifest)] : []),
  (manifest, word) =>
    manifest.disks.filter(({ name, label }) => name === word || label === word).map((disk) => diskOf(manifest, disk)),
];

function bySubject(catalogue: Catalogue, word: string, until: number, reference: string): FoundBackup {
  for (const way of WAYS) {
    const subjects = catalogue.backups.flatMap((manifest) => way(manifest, word));
    if (subjects.length === 0) continue;
    const keys = new Map(subjects.map(({ key, label }) => [key, label]));
    if (keys.size > 1) throw ambiguous(reference, [...keys.values()]);
    const newest = subjects.findLast(({ manifest }) => Date.parse(manifest.time) <= until);
    if (newest === undefined) break;
    return newest.disk === undefined ? { manifest: newest.manifest } : { manifest: newest.manifest, disk: newest.disk };
  }
  throw notFound(reference);
}

const guestOf = (manifest: Manifest): Subject => ({
  key: `${manifest.hypervisor} ${manifest.guest.id}`,
  label: `${manifest.guest.name} (${manifest.guest.id})`,
  manifest,
});

const diskOf = (manifest: Manifest, disk: ManifestDisk): Subject => ({
  key: `${manifest.hypervisor} ${manifest.guest.id} ${disk.id}`,
  label: `${disk.label === '' ? disk.name : disk.label} of ${manifest.guest.name} (${disk.id})`,
  manifest,
  disk: disk.name,
});

/** The last millisecond that `<time>` covers. */
function latestTime(text: string, reference: string): number {
  if (text === 'latest') return Number.POSITIVE_INFINITY;
  const [matched, date, clock, zone] = TIME.exec(text) ?? [];
  const start = matched === undefined ? Number.NaN : Date.parse(`${date}T${clock ?? '00:00'}${zone ?? ''}`);
  if (Number.isNaN(start)) {
    throw new VBackupError('VB_INVALID_ARGUMENT', `${reference} names no time: ${text}`, {
      cure: 'write @latest, @2026-11-20 or @2026-11-20T14:30',
    });
  }
  if (clock === undefined) return Date.parse(`${date}T23:59:59.999`);
  const seconds = clock.split(':')[2];
  if (seconds === undefined) return start + 59_999;
  return seconds.includes('.') ? start : start + 999;
}

const namesSubject = (catalogue: Catalogue, word: string): boolean =>
  WAYS.some((way) => catalogue.backups.some((manifest) => way(manifest, word).length > 0));

const notABackup = (reference: string): VBackupError =>
  new VBackupError('VB_BACKUP_NOT_FOUND', `${reference} is a disk or a guest, not a backup`, {
    cure: `write ${reference}@latest, or ${reference}@2026-11-20T14:30 for the newest backup until then`,
  });

const notFound = (reference: string): VBackupError =>
  new VBackupError('VB_BACKUP_NOT_FOUND', `no backup ${reference}`, { cure: 'vbackup list shows what there is' });

const ambiguous = (reference: string, candidates: readonly string[]): VBackupError =>
  new VBackupError('VB_BACKUP_AMBIGUOUS', `${reference} names ${candidates.length}: ${candidates.join(', ')}`, {
    cure: 'write the id of the backup as vbackup list shows it, or <id of the disk>@latest',
  });
