import type { ExistingDisk, ExistingDisksRequest, WithSignal } from '@vbackup/core';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import { openImageDevice } from '@vbackup/core/qemu';
import type { LibvirtContext } from '../backup/context.js';
import { findGuest } from '../backup/find-guest.js';
import { parseGuestId } from '../backup/guest-id.js';
import { remoteUri } from '../backup/uri.js';
import { chooseDisk, type DomainDisk, parseDomain } from '../domain/index.js';
import { requireIdle } from './require-idle.js';

/**
 * The images of a domain that is off, to be changed where they lie. Its checkpoints go on being true: their bitmaps record what
 * is written.
 * @throws VBackupError VB_GUEST_NOT_FOUND, VB_LIBVIRT_OTHER_DISK, VB_LIBVIRT_RUNNING, VB_LIBVIRT_SAVED_STATE, VB_LIBVIRT_DISK, VB_LIBVIRT_REMOTE
 */
export async function existingDisks(
  context: LibvirtContext,
  request: ExistingDisksRequest,
  { signal }: WithSignal = {},
): Promise<readonly ExistingDisk[]> {
  const { target, disks: names } = request;
  const libvirt = await context.link.get();
  const remote = await remoteUri(libvirt, context.options.uri, { signal });
  if (remote !== null) {
    throw new UnsupportedError('VB_LIBVIRT_REMOTE', `the images of ${remote} are on another machine`, {
      cure: 'run vbackup on the host of the domain',
    });
  }
  const { id } = await findGuest(libvirt, target, { signal });
  const { domain: uuid, disk: only } = parseGuestId(id);
  const facts = await libvirt.findDomain({ uuid }, { signal });
  requireSame(request, { name: facts.name, uuid, only });
  await requireIdle(libvirt, facts, { signal });
  const { disks } = parseDomain(await libvirt.domainXml(uuid, { signal }));
  const found: ExistingDisk[] = [];
  for (const name of names) {
    const wanted = only !== null && names.length === 1 ? only : name;
    const disk = disks.find((each) => each.target === wanted && (only === null || only === wanted));
    if (disk === undefined) throw noSuchDisk(target, wanted, disks);
    found.push(existingDisk(facts.name, disk));
  }
  return found;
}

interface NamedDomain {
  readonly name: string;
  readonly uuid: string;
  /** The target name of the only disk that is meant. */
  readonly only: string | null;
}

/** What is written over is gone: a word that was mistaken must not be enough for that. */
function requireSame({ guestId, force, disks }: ExistingDisksRequest, { name, uuid, only }: NamedDomain): void {
  if (guestId === null || force) return;
  const cure = 'if that is meant, give --force';
  const { domain } = parseGuestId(guestId);
  if (domain !== uuid) {
    const message = `the backup is of another domain than ${name}: of ${domain}`;
    throw new VBackupError('VB_LIBVIRT_OTHER_DISK', message, { cure });
  }
  const [disk] = disks;
  if (only === null || disk === undefined || disk === only || disks.length > 1) return;
  throw new VBackupError('VB_LIBVIRT_OTHER_DISK', `${disk} of the backup would be written over ${only} of ${name}`, {
    cure,
  });
}

function existingDisk(domain: string, disk: DomainDisk): ExistingDisk {
  const { type, source, format } = disk.image;
  const reason = whyNot(disk);
  if (reason !== null || source === null) {
    throw new VBackupError(
      'VB_LIBVIRT_DISK',
      `disk ${disk.target} of ${domain} cannot be written in place: ${reason}`,
      {
        cure: 'restore it into a new image',
      },
    );
  }
  const open = openImageDevice(source, { format: format ?? 'raw' });
  return { label: `${disk.target} of ${domain} (${type} ${source})`, open };
}

/** Null where the image can be opened as the guest sees it. */
function whyNot(disk: DomainDisk): string | null {
  const choice = chooseDisk(disk);
  if (choice.kind === 'left-out') return choice.reason;
  const { type } = disk.image;
  if (type !== 'file' && type !== 'block') return `it is of type ${type}`;
  return disk.disguise;
}

const noSuchDisk = (target: string, disk: string, disks: readonly DomainDisk[]): VBackupError =>
  new VBackupError('VB_GUEST_NOT_FOUND', `${target} has no disk ${disk}`, {
    cure: `choose with --disk, or name one as <domain>:<disk>; there are: ${disks.map((each) => each.target).join(', ')}`,
  });
