import type { Damage, Manifest } from '@vbackup/core';
import { archiveLines } from './archive-results.js';
import type { ItemSummary, StreamFacts } from './events.js';
import { formatBytes, formatLocalTime, formatSeconds, printable } from './format.js';
import { pairLines, tableLines } from './table.js';
import { vmaLines } from './vma-results.js';

type DiskSummary = Extract<ItemSummary, { disk: string; target: string }>;
type MachineSummary = Extract<ItemSummary, { machine: string }>;
type CopySummary = Extract<ItemSummary, { command: 'copy' }>;
type BackupSummary = Extract<ItemSummary, { repository: string }>;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const nameOf = ({ guest }: Manifest): string => printable(guest.name === '' ? guest.id : guest.name);

/** One result as lines for people. `list` is shown as one table instead: {@link listLines}. */
export function resultLines(item: ItemSummary): string[] {
  switch (item.command) {
    case 'backup':
    case 'import':
    case 'export':
    case 'vma create':
    case 'vma repack':
      if ('disk' in item) return [exportLine(item)];
      return 'backup' in item ? [backupLine(item)] : archiveLines(item);
    case 'list':
      return listLines([item.backup]);
    case 'info':
      return 'stream' in item ? streamLines(item.stream) : manifestLines(item.backup, item.chain);
    case 'verify':
      return [
        `${item.backup.id}  ${item.damage.length === 0 ? 'good' : 'DAMAGED'}  ${nameOf(item.backup)}`,
        ...item.damage.map((damage) => `  ${damageLine(damage)}`),
      ];
    case 'restore': {
      if ('machine' in item) return [machineLine(item)];
      const { id, disk, target, size, written, elapsedMs, inPlace } = item;
      const sizes = `${formatBytes(size)}, ${formatBytes(written)} written`;
      const how = inPlace === true ? 'in place:' : 'to';
      return [`${printable(disk)} of ${id} restored ${how} ${printable(target)}: ${sizes} in ${duration(elapsedMs)}`];
    }
    case 'copy':
      return [copyLine(item)];
    case 'map':
      return pairLines([
        ['disk', printable(item.disk)],
        ['size', String(item.size)],
        ['data', String(item.data)],
        ['zero', String(item.zero)],
        ['hole', String(item.hole)],
        ['extents', String(item.extents)],
        ['method', item.method],
        ...(item.fileSystem === null ? [] : [['file system', item.fileSystem] as const]),
        ...(item.changedSince === null ? [] : [['changed since', printable(item.changedSince)] as const]),
      ]);
    case 'mount':
      return item.paths.map((path) => printable(path));
    case 'umount':
      return item.paths.map((path) => `${printable(path)} is unmounted`);
    case 'serve':
      return item.exports.map(
        ({ uri, size, description }) => `${printable(uri)}  ${formatBytes(size)}  ${printable(description)}`,
      );
    case 'doctor': {
      const line = `${item.state.padEnd(7)}  ${printable(item.name)}: ${printable(item.detail)}`;
      return item.cure === undefined ? [line] : [line, `         ${printable(item.cure)}`];
    }
    case 'vma list':
    case 'vma config':
    case 'vma info':
    case 'vma verify':
    case 'vma extract':
      return vmaLines(item);
    case 'completion':
      return item.script.trimEnd().split('\n');
  }
}

const machineLine = ({ machine, machineId, id }: MachineSummary): string =>
  `${printable(machine)} is defined with the disks of ${id}, and not started: ${printable(machineId)}`;

function exportLine({ disk, id, target, size, written, elapsedMs }: DiskSummary): string {
  const sizes = `${formatBytes(size)}, ${formatBytes(written)} written`;
  return `${printable(disk)} of ${id} exported to ${printable(target)}: ${sizes} in ${duration(elapsedMs)}`;
}

const duration = (elapsedMs: number): string => formatSeconds(elapsedMs / 1000);

function copyLine({ source, target, size, written, method, verified, elapsedMs }: CopySummary): string {
  const data = `${formatBytes(written)} ${method === 'reflink' ? 'shared' : 'written'}`;
  const check = verified ? ', verified' : '';
  return `${printable(source)} copied to ${printable(target)}: ${formatBytes(size)}, ${data}${check} in ${duration(elapsedMs)}`;
}

function backupLine({ backup, repository, elapsedMs }: BackupSummary): string {
  const size = formatBytes(sum(backup.disks.map((disk) => disk.size)));
  const data = formatBytes(sum(backup.disks.map((disk) => disk.dataLength)));
  const stored = formatBytes(sum(backup.disks.map((disk) => disk.storedLength)));
  const kind = backup.reason === undefined ? backup.level : `${backup.level} (${backup.reason})`;
  const sizes = `${size}, ${data} data, ${stored} stored in ${duration(elapsedMs)}`;
  return `${backup.id}  ${kind} of ${nameOf(backup)}: ${sizes}, repository ${printable(repository)}`;
}

/** What is wrong, and where. */
export function damageLine({ code, message, file, disk, extent }: Damage): string {
  const where =
    extent === undefined
      ? ''
      : `; bytes ${extent.offset} to ${extent.offset + extent.length - 1}${disk === undefined ? '' : ` of ${disk}`}`;
  return printable(`${file}: ${message}${where} [${code}]`);
}

const LIST_COLUMNS = [
  { title: 'ID', align: 'left' },
  { title: 'TIME', align: 'left' },
  { title: 'LEVEL', align: 'left' },
  { title: 'REASON', align: 'left' },
  { title: 'SIZE', align: 'right' },
  { title: 'STORED', align: 'right' },
  { title: 'NAME', align: 'left' },
] as const;

/** A line per backup, in the given order; the time is local. */
export function listLines(backups: readonly Manifest[]): string[] {
  return tableLines(
    LIST_COLUMNS,
    backups.map((backup) => [
      backup.id,
      formatLocalTime(new Date(backup.time)),
      backup.level,
      backup.reason ?? '',
      formatBytes(sum(backup.disks.map((disk) => disk.size))),
      formatBytes(sum(backup.disks.map((disk) => disk.storedLength))),
      nameOf(backup),
    ]),
  );
}

function manifestLines(backup: Manifest, chain: readonly string[]): string[] {
  const pairs: [string, string][] = [
    ['id', backup.id],
    ['time', `${formatLocalTime(new Date(backup.time))} (${backup.time})`],
    ['level', backup.level],
    ['reason', backup.reason ?? '-'],
    ['hypervisor', backup.hypervisor],
    ['guest', `${printable(backup.guest.name)} (${backup.guest.kind} ${printable(backup.guest.id)})`],
    ['chain', chain.join(' > ')],
    ['folder', printable(backup.chain)],
    ['checkpoint', `${backup.checkpointName}${backup.checkpoint === null ? ', no increment can stand on it' : ''}`],
    ['compression', backup.compression],
    ['made by', `${backup.tool.name} ${backup.tool.version}`],
  ];
  for (const disk of backup.disks) pairs.push(...diskPairs(disk));
  for (const file of backup.files) {
    pairs.push(['file', `${printable(file.path)}  ${formatBytes(file.size)}  sha256:${file.sha256}`]);
  }
  return pairLines(pairs);
}

function diskPairs(disk: Manifest['disks'][number]): [string, string][] {
  const reason = disk.reason === undefined ? '' : ` because ${disk.reason}`;
  const detail = disk.detail === undefined ? '' : `: ${printable(disk.detail)}`;
  const label = disk.label === '' ? '' : ` "${printable(disk.label)}"`;
  const sizes = `${formatBytes(disk.readLength)} read, ${formatBytes(disk.dataLength)} data`;
  const pairs: [string, string][] = [
    ['disk', `${disk.name}${label} (${printable(disk.id)})  ${formatBytes(disk.size)}`],
    ['  level', `${disk.level}${reason}${detail}; changes found by ${disk.method}`],
    ['  sizes', `${sizes}, ${formatBytes(disk.storedLength)} stored`],
  ];
  if (disk.audit !== undefined) {
    const { share, shares, length } = disk.audit;
    pairs.push([
      '  audit',
      `${formatBytes(length)} of what is called unchanged compared, share ${share + 1} of ${shares}`,
    ]);
  }
  return pairs;
}

function streamLines(stream: StreamFacts): string[] {
  return pairLines([
    ['file', `${printable(stream.path)}  ${formatBytes(stream.fileSize)}`],
    ['format', `SparseStream ${stream.version}`],
    ['disk', printable(stream.disk)],
    ['size', formatBytes(stream.virtualSize)],
    ['date', printable(stream.date)],
    ['kind', stream.incremental ? 'increment' : 'full'],
    ['checkpoint', printable(stream.checkpointName)],
    ['backup', printable(stream.backup?.id ?? '-')],
    ['parent', printable(stream.parentCheckpoint ?? '-')],
    ['compression', stream.compression],
    [
      'data',
      `${stream.frames.data} frames, ${formatBytes(stream.dataLength)}, ${formatBytes(stream.storedLength)} stored`,
    ],
    ['zeros', `${stream.frames.zero} frames, ${formatBytes(stream.zeroLength)}`],
  ]);
}
