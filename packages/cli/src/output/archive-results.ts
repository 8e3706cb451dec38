import type { ArchiveItem } from './archive-events.js';
import { formatBytes, formatSeconds, printable } from './format.js';

/** What was written for other tools, as lines for people. */
export function archiveLines(item: ArchiveItem): string[] {
  const duration = formatSeconds(item.elapsedMs / 1000);
  if ('folder' in item) {
    const disks = item.disks.map(printable).join(', ');
    return [`${item.id} exported to ${printable(item.folder)}: ${disks} in ${duration}`];
  }
  const { path, devices, length, sidecar } = item.written;
  const sum = (of: (device: (typeof devices)[number]) => number): number =>
    devices.reduce((total, device) => total + of(device), 0);
  const sizes = `${formatBytes(sum(({ size }) => size))}, ${formatBytes(sum(({ data }) => data))} data`;
  const digests = sidecar === null ? '' : `, digests in ${printable(sidecar)}`;
  const count = devices.length === 1 ? '1 device' : `${devices.length} devices`;
  return [`${printable(path)}  ${count}: ${sizes}, ${formatBytes(length)} stored${digests} in ${duration}`];
}
