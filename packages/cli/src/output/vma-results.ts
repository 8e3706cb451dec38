import { formatBytes, formatLocalTime, printable } from './format.js';
import { pairLines } from './table.js';
import type { VmaArchiveFacts, VmaItem } from './vma-events.js';

/** A result of the commands of the group `vma`, as lines for people. */
export function vmaLines(item: VmaItem): string[] {
  switch (item.command) {
    case 'vma list':
      return pairLines(headerPairs(item.archive));
  }
}

function headerPairs(archive: VmaArchiveFacts): [string, string][] {
  const { created } = archive;
  return [
    ['archive', `${printable(archive.path)}${archive.compression === 'none' ? '' : ` (${archive.compression})`}`],
    ['uuid', archive.uuid],
    ['created', created === null ? 'at no time' : `${formatLocalTime(new Date(created))} (${created})`],
    ...archive.configs.map(({ name, size }): [string, string] => [
      'config',
      `${printable(name)}  ${formatBytes(size)}`,
    ]),
    ...archive.devices.map(({ id, name, size }): [string, string] => [
      `device ${id}`,
      `${printable(name)}  ${formatBytes(size)} (${size})`,
    ]),
  ];
}
