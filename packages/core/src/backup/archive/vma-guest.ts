import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Guest } from '../../hypervisor/index.js';
import { formatUuid, PVE_CONFIG_NAME, type VmaHeader } from '../../vma/index.js';

/** What the name of an archive says (pve-storage): the number of the guest. */
const ARCHIVE_NAME = /^vzdump-qemu-([1-9]\d{2,8})-/;
const UUID = /(?:^|,)uuid=([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:,|$)/i;

/**
 * The guest that an archive is a backup of, so that several archives of one machine are backups of one guest: by the UUID
 * that the machine sees (`smbios1` of its configuration), else by its number in the archive's name, else by the archive's own
 * UUID.
 */
export function guestOfArchive({ uuid, configs }: VmaHeader, path: string): Guest {
  const file = basename(path);
  const conf = configs.find(({ name }) => name === PVE_CONFIG_NAME)?.content.toString('utf8') ?? '';
  const vmid = ARCHIVE_NAME.exec(file)?.[1];
  const machine = UUID.exec(valueOf(conf, 'smbios1') ?? '')?.[1]?.toLowerCase();
  const id = machine ?? (vmid === undefined ? formatUuid(uuid) : `pve-${vmid}`);
  return { id, name: valueOf(conf, 'name') ?? (vmid === undefined ? file : `vm-${vmid}`), kind: 'machine' };
}

/** `key: value`, in front of the first section. */
function valueOf(conf: string, key: string): string | undefined {
  for (const line of conf.split(/\r?\n/)) {
    if (line.startsWith('[')) return undefined;
    if (line.startsWith(`${key}:`)) return line.slice(key.length + 1).trim() || undefined;
  }
  return undefined;
}

/** A name of an archive as the name of a disk or file of a backup; different names stay different. */
export function plainName(name: string, allowed: RegExp): string {
  const plain = name.replace(/[^A-Za-z0-9._-]/g, '-').slice(0, 100);
  const fits = allowed.test(plain);
  if (plain === name && fits) return name;
  const mark = createHash('sha256').update(name).digest('hex').slice(0, 8);
  return `${fits ? plain : plain.replace(/[^A-Za-z0-9]/g, '_').replace(/^_*/, 'x')}-${mark}`;
}
