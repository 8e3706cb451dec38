import { formatBytes, formatLocalTime, printable } from './format.js';
import { pairLines, tableLines } from './table.js';
import type {
  VmaArchiveFacts,
  VmaClusterFacts,
  VmaContentFacts,
  VmaDamageFacts,
  VmaExtraction,
  VmaItem,
  VmaStructure,
} from './vma-events.js';

/** Damages that are shown unless all are asked for. */
const SHOWN_DAMAGES = 10;

type Verification = Extract<VmaItem, { command: 'vma verify' }>;

/** A result of the commands of the group `vma`, as lines for people. */
export function vmaLines(item: VmaItem): string[] {
  switch (item.command) {
    case 'vma list':
      return pairLines(headerPairs(item.archive));
    case 'vma config':
      return item.file === null ? [] : [`${printable(item.name)}  ${formatBytes(item.size)}  ${printable(item.file)}`];
    case 'vma info':
      return [...pairLines([...headerPairs(item.archive), extentPair(item)]), '', ...clusterLines(item.clusters)];
    case 'vma verify':
      return verificationLines(item);
    case 'vma extract':
      return extractionLines(item);
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

const extentPair = ({ extents, clustersPerExtent }: VmaStructure): [string, string] => [
  'extents',
  `${extents}, of ${clustersPerExtent} clusters at most`,
];

const CLUSTER_COLUMNS = [
  { title: 'DEVICE', align: 'left' },
  { title: 'CLUSTERS', align: 'right' },
  { title: 'FULL', align: 'right' },
  { title: 'PARTIAL', align: 'right' },
  { title: 'ZERO', align: 'right' },
  { title: 'MISSING', align: 'right' },
  { title: 'STORED', align: 'right' },
  { title: 'ORDER', align: 'left' },
] as const;

const clusterLines = (devices: readonly VmaClusterFacts[]): string[] =>
  devices.length === 0
    ? []
    : tableLines(
        CLUSTER_COLUMNS,
        devices.map(({ device, clusters, full, partial, zero, missing, storedLength, ordered }) => [
          printable(device),
          ...[clusters, full, partial, zero, missing].map(String),
          formatBytes(storedLength),
          ordered ? 'ascending' : 'mixed',
        ]),
      );

function verificationLines(item: Verification): string[] {
  const { archive, damageCount, contents, salvage } = item;
  const verdict = damageCount === 0 ? 'good' : 'DAMAGED';
  return [
    `${printable(archive.path)}  ${verdict}`,
    ...contents.flatMap((content) => contentLines(content, item)),
    ...(salvage ? salvageLines(item) : []),
    ...damageLines(item),
  ];
}

function contentLines({ device, sha256, checked, reason }: VmaContentFacts, { sidecar }: Verification): string[] {
  const state = checked
    ? `compared with ${printable(sidecar ?? '')}`
    : `not checked: ${REASONS[reason ?? 'no-sidecar']}`;
  const digest = sha256 === null ? [] : [`  sha256:${sha256}  ${printable(device)}`];
  return [`  content of ${printable(device)} ${state}`, ...digest];
}

const REASONS: Readonly<Record<NonNullable<VmaContentFacts['reason']>, string>> = {
  'headers-only': 'only headers were read',
  'no-sidecar': 'the format has no checksum of it, and there is no sidecar (.sha256s)',
  'not-in-sidecar': 'the sidecar does not name it',
  incomplete: 'clusters are missing',
  'not-ordered': 'its clusters come out of order from a pipe or a compressed file; decompress it into a file',
};

function extractionLines(item: VmaExtraction): string[] {
  const what = printable('device' in item ? item.device : item.config);
  const target = printable(item.target);
  if ('config' in item) return [`${what} written to ${target}: ${formatBytes(item.size)}`];
  const { size, written, missing } = item;
  const lost = missing.reduce((sum, { length }) => sum + length, 0);
  return [
    `${what} extracted to ${target}: ${formatBytes(size)}, ${formatBytes(written)} data`,
    ...(lost === 0
      ? []
      : [
          `  missing, and zeros now: ${formatBytes(lost)} in ${missing.length} ${missing.length === 1 ? 'range' : 'ranges'}`,
        ]),
  ];
}

const salvageLines = ({ clusters }: Verification): string[] =>
  clusters.map(({ device, clusters: all, missing }) => {
    const what = missing === 0 ? `all ${all}` : `${all - missing} of ${all}`;
    return `  ${printable(device)}: ${what} clusters can be had`;
  });

function damageLines({ damages, damageCount, salvage }: Verification): string[] {
  const shown = salvage ? damages : damages.slice(0, SHOWN_DAMAGES);
  const more = damageCount - shown.length;
  return [...shown.map(damageLine), ...(more === 0 ? [] : [`  and ${more} more`])];
}

function damageLine({ code, message, device, extent }: VmaDamageFacts): string {
  const where =
    extent === null
      ? ''
      : `; lost are bytes ${extent.offset} to ${extent.offset + extent.length - 1} of ${printable(device ?? '')}`;
  return `  ${printable(message)}${where} [${code}]`;
}
