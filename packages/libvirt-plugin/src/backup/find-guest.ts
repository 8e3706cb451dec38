import type { Guest, WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { type DomainFacts, isLibvirtError, type LibvirtConnection } from '../connection/index.js';
import { type DomainQuestion, parseDomain, questionsOf } from '../domain/index.js';
import { guestId } from './guest-id.js';

/**
 * The domain, or the disk of a domain, that a selector names.
 * @throws VBackupError VB_LIBVIRT_SELECTOR, VB_GUEST_NOT_FOUND
 */
export async function findGuest(
  libvirt: LibvirtConnection,
  selector: string,
  options: WithSignal = {},
): Promise<Guest> {
  for (const question of questionsOf(selector)) {
    const facts = await ask(libvirt, question, options);
    if (facts === null) continue;
    const { disk } = question;
    if (disk !== null) await requireDisk(libvirt, facts, disk, options);
    const name = disk === null ? facts.name : `${facts.name}:${disk}`;
    return { id: guestId({ domain: facts.uuid, disk }), name, kind: disk === null ? 'machine' : 'disk' };
  }
  throw new VBackupError('VB_GUEST_NOT_FOUND', `libvirt has no domain ${selector}`, {
    cure: 'virsh list --all --name shows the domains of this host',
  });
}

async function ask(
  libvirt: LibvirtConnection,
  { by, value }: DomainQuestion,
  options: WithSignal,
): Promise<DomainFacts | null> {
  try {
    return await libvirt.findDomain(by === 'name' ? { name: value } : { uuid: value }, options);
  } catch (error) {
    if (isLibvirtError(error, 'VB_LIBVIRT_NO_DOMAIN')) return null;
    throw error;
  }
}

async function requireDisk(
  libvirt: LibvirtConnection,
  { uuid, name }: DomainFacts,
  target: string,
  options: WithSignal,
): Promise<void> {
  const { disks } = parseDomain(await libvirt.domainXml(uuid, options));
  if (disks.some((disk) => disk.target === target)) return;
  const known = disks.map((disk) => disk.target).join(', ');
  throw new VBackupError('VB_GUEST_NOT_FOUND', `the domain ${name} has no disk ${target}`, {
    cure: known === '' ? 'it has none at all' : `its disks are: ${known}`,
  });
}
