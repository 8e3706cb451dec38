import type { DomainDisk } from './domain-xml.js';

/** What becomes of a disk in a backup. */
export type DiskChoice =
  /** A dirty bitmap records what the guest writes. */
  | {
      readonly kind: 'tracked';
      readonly disk: DomainDisk;
      /** Bytes per cluster of its image; missing until somebody has looked at it. */
      readonly clusterLength?: number | undefined;
    }
  /** It can be read, but nothing records what changes: an increment reads all of it and compares. */
  | { readonly kind: 'untracked'; readonly disk: DomainDisk; readonly reason: string }
  | {
      readonly kind: 'left-out';
      readonly disk: DomainDisk;
      readonly reason: string;
      /** It may hold what the user expects in the backup. */
      readonly surprising: boolean;
    };

/** Disks that can be read: the images of these types are opened by QEMU itself. */
const READABLE_TYPES: readonly string[] = ['file', 'block', 'network', 'volume', 'nvme'];

/** @param excluded - target names that the user does not want */
export function chooseDisk(disk: DomainDisk, excluded: readonly string[] = []): DiskChoice {
  const leftOut = (reason: string, surprising = true): DiskChoice => ({ kind: 'left-out', disk, reason, surprising });
  const { image, device } = disk;
  if (excluded.includes(disk.target)) return leftOut('it is excluded', false);
  if (device === 'cdrom' || device === 'floppy') return leftOut(`it is a ${device}`, false);
  if (image.source === null) return leftOut('it has no medium', false);
  if (device === 'lun') return leftOut('it is a SCSI device of the host, which only the guest can read');
  if (device === 'unknown') return leftOut('libvirt calls it a device that is not known here');
  if (!READABLE_TYPES.includes(image.type)) {
    return leftOut(`QEMU cannot make a backup of a disk of type ${image.type}`);
  }
  if (disk.readOnly) return leftOut('the guest can only read it, and libvirt makes no backup of such a disk');
  if (disk.shareable) return leftOut('other domains may write to it, and no instant is the same for all of them');
  if (disk.transient) return leftOut('what the guest writes to it is lost when it stops (<transient/>)');
  if (image.format === 'qcow2') return { kind: 'tracked', disk };
  return { kind: 'untracked', disk, reason: `a ${image.format ?? 'raw'} image has no place for a dirty bitmap` };
}
