import { z } from 'zod';

// The promise of docs/json-output.md, written down a second time and strictly: a field that is not here, or is missing,
// or of another type, fails the tests of every command.

const command = z.enum([
  'backup',
  'list',
  'info',
  'verify',
  'restore',
  'copy',
  'map',
  'doctor',
  'serve',
  'mount',
  'umount',
  'completion',
  'export',
  'import',
  'vma list',
  'vma config',
  'vma info',
  'vma verify',
  'vma extract',
  'vma create',
  'vma repack',
]);
const time = z.iso.datetime();
const bytes = z.int().nonnegative();
const milliseconds = z.int().nonnegative();
const level = z.enum(['full', 'inc', 'diff', 'copy']);

const disk = z.strictObject({
  name: z.string(),
  id: z.string(),
  label: z.string(),
  size: bytes,
  level,
  reason: z.string().optional(),
  detail: z.string().optional(),
  method: z.string(),
  audit: z.strictObject({ shares: z.int().positive(), share: bytes, length: bytes }).optional(),
  file: z.string(),
  index: z.string(),
  readLength: bytes,
  dataLength: bytes,
  storedLength: bytes,
});

const manifest = z.strictObject({
  format: z.literal('vbackup-manifest'),
  version: z.literal(1),
  id: z.string().regex(/^[0-9a-f]{16}$/),
  time,
  level,
  reason: z.string().optional(),
  parent: z.string().nullable(),
  after: z.string().optional(),
  chain: z.string(),
  checkpointName: z.string(),
  hypervisor: z.string(),
  guest: z.strictObject({ id: z.string(), name: z.string(), kind: z.enum(['machine', 'disk']) }),
  checkpoint: z.record(z.string(), z.unknown()).nullable(),
  compression: z.enum(['lz4', 'none']),
  disks: z.array(disk),
  files: z.array(z.strictObject({ path: z.string(), size: bytes, sha256: z.string().regex(/^[0-9a-f]{64}$/) })),
  tool: z.strictObject({ name: z.literal('vbackup'), version: z.string() }),
});

const damage = z.strictObject({
  code: z.string().regex(/^VB_/),
  message: z.string(),
  file: z.string(),
  offset: bytes.optional(),
  disk: z.string().optional(),
  extent: z.strictObject({ offset: bytes, length: bytes }).optional(),
});

const stream = z.strictObject({
  path: z.string(),
  fileSize: bytes,
  version: z.int(),
  disk: z.string(),
  diskFormat: z.string().nullable(),
  virtualSize: bytes,
  date: z.string(),
  checkpointName: z.string(),
  parentCheckpoint: z.string().nullable(),
  incremental: z.boolean(),
  compression: z.enum(['lz4', 'none']),
  backup: z.strictObject({ id: z.string(), parent: z.string().nullable() }).nullable(),
  frames: z.strictObject({ data: bytes, zero: bytes }),
  dataLength: bytes,
  zeroLength: bytes,
  storedLength: bytes,
});

const vmaArchive = z.strictObject({
  path: z.string(),
  compression: z.enum(['none', 'zstd', 'gzip', 'lzo', 'bzip2']),
  uuid: z.guid(),
  created: time.nullable(),
  headerLength: bytes,
  configs: z.array(z.strictObject({ name: z.string(), size: bytes })),
  devices: z.array(z.strictObject({ id: z.int().min(1).max(255), name: z.string(), size: bytes })),
});

const vmaStructure = {
  extents: z.int().nonnegative(),
  clustersPerExtent: z.int().min(0).max(59),
  clusters: z.array(
    z.strictObject({
      device: z.string(),
      clusters: z.int().nonnegative(),
      full: z.int().nonnegative(),
      partial: z.int().nonnegative(),
      zero: z.int().nonnegative(),
      missing: z.int().nonnegative(),
      storedLength: bytes,
      ordered: z.boolean(),
    }),
  ),
  damages: z.array(
    z.strictObject({
      code: z.string().regex(/^VB_VMA_/),
      message: z.string(),
      offset: bytes,
      device: z.string().nullable(),
      extent: z.strictObject({ offset: bytes, length: bytes }).nullable(),
    }),
  ),
  damageCount: z.int().nonnegative(),
};

const written = z.strictObject({
  path: z.string(),
  compression: z.enum(['none', 'zstd']),
  uuid: z.uuid(),
  created: time,
  length: bytes,
  configs: z.array(z.string()),
  devices: z.array(z.strictObject({ name: z.string(), size: bytes, data: bytes })),
  sidecar: z.string().nullable(),
});

const start = { type: z.literal('start'), time, command };
const item = { type: z.literal('summary'), time, scope: z.literal('item') };

/** Every line that `--json` may write. */
export const JSON_LINE = z.union([
  z.strictObject({ ...start, scope: z.literal('run'), version: z.string() }),
  z.strictObject({ ...start, scope: z.literal('item'), id: z.string(), guest: z.string() }),
  z.strictObject({
    ...start,
    scope: z.literal('disk'),
    disk: z.string(),
    size: bytes,
    level,
    reason: z.string().nullable(),
    detail: z.string().nullable(),
    planned: bytes,
  }),
  z.strictObject({
    ...start,
    scope: z.literal('audit'),
    disk: z.string(),
    share: bytes,
    shares: z.int().positive(),
    planned: bytes,
  }),
  z.strictObject({
    type: z.literal('progress'),
    time,
    disk: z.string(),
    audit: z.literal(true).optional(),
    done: bytes,
    planned: bytes,
    rate: bytes,
    secondsLeft: bytes.nullable(),
    finished: z.strictObject({ read: bytes, data: bytes, stored: bytes, elapsedMs: milliseconds }).optional(),
  }),
  z.strictObject({
    type: z.literal('warning'),
    time,
    code: z.string().regex(/^VB_/),
    message: z.string(),
    disk: z.string().nullable(),
  }),
  z.strictObject({
    type: z.literal('error'),
    time,
    code: z.string().regex(/^VB_/),
    message: z.string(),
    cure: z.string().nullable(),
    subject: z.string().nullable(),
    exitCode: z.int(),
    causes: z.array(z.string()),
    stack: z.string().nullable(),
  }),
  z.strictObject({
    ...item,
    command: z.literal('backup'),
    backup: manifest,
    repository: z.string(),
    elapsedMs: milliseconds,
  }),
  z.strictObject({ ...item, command: z.literal('list'), backup: manifest }),
  z.strictObject({ ...item, command: z.literal('info'), backup: manifest, chain: z.array(z.string()) }),
  z.strictObject({ ...item, command: z.literal('info'), stream }),
  z.strictObject({ ...item, command: z.literal('verify'), backup: manifest, damage: z.array(damage) }),
  z.strictObject({
    ...item,
    command: z.enum(['restore', 'export']),
    inPlace: z.literal(true).optional(),
    id: z.string(),
    disk: z.string(),
    target: z.string(),
    size: bytes,
    written: bytes,
    elapsedMs: milliseconds,
  }),
  z.strictObject({
    ...item,
    command: z.literal('restore'),
    id: z.string(),
    machine: z.string(),
    machineId: z.string(),
  }),
  z.strictObject({
    ...item,
    command: z.literal('copy'),
    source: z.string(),
    target: z.string(),
    size: bytes,
    written: bytes,
    method: z.enum(['reflink', 'copy']),
    verified: z.boolean(),
    elapsedMs: milliseconds,
  }),
  z.strictObject({
    ...item,
    command: z.literal('map'),
    disk: z.string(),
    size: bytes,
    data: bytes,
    zero: bytes,
    hole: bytes,
    extents: bytes,
    method: z.string(),
    fileSystem: z.string().nullable(),
    changedSince: z.string().nullable(),
  }),
  z.strictObject({
    ...item,
    command: z.enum(['mount', 'umount']),
    directory: z.string(),
    paths: z.array(z.string()),
  }),
  z.strictObject({
    ...item,
    command: z.literal('serve'),
    exports: z.array(
      z.strictObject({
        name: z.string(),
        uri: z.string(),
        size: bytes,
        description: z.string(),
        writable: z.boolean(),
      }),
    ),
  }),
  z.strictObject({
    ...item,
    command: z.literal('doctor'),
    name: z.string(),
    state: z.enum(['good', 'warning', 'bad']),
    detail: z.string(),
    cure: z.string().optional(),
  }),
  z.strictObject({
    ...item,
    command: z.literal('import'),
    backup: manifest,
    repository: z.string(),
    elapsedMs: milliseconds,
  }),
  z.strictObject({
    ...item,
    command: z.enum(['backup', 'export', 'vma create', 'vma repack']),
    written,
    elapsedMs: milliseconds,
  }),
  z.strictObject({
    ...item,
    command: z.literal('export'),
    id: z.string(),
    folder: z.string(),
    disks: z.array(z.string()),
    elapsedMs: milliseconds,
  }),
  z.strictObject({ ...item, command: z.literal('vma list'), archive: vmaArchive }),
  z.strictObject({
    ...item,
    command: z.literal('vma config'),
    name: z.string(),
    size: bytes,
    content: z.string().nullable(),
    file: z.string().nullable(),
  }),
  z.strictObject({ ...item, command: z.literal('vma info'), archive: vmaArchive, ...vmaStructure }),
  z.strictObject({
    ...item,
    command: z.literal('vma verify'),
    archive: vmaArchive,
    ...vmaStructure,
    sidecar: z.string().nullable(),
    contents: z.array(
      z.strictObject({
        device: z.string(),
        sha256: z.string().nullable(),
        checked: z.boolean(),
        reason: z.enum(['headers-only', 'no-sidecar', 'not-in-sidecar', 'incomplete', 'not-ordered']).nullable(),
      }),
    ),
    salvage: z.boolean(),
  }),
  z.strictObject({
    ...item,
    command: z.literal('vma extract'),
    device: z.string(),
    target: z.string(),
    size: bytes,
    written: bytes,
    missing: z.array(z.strictObject({ offset: bytes, length: bytes })),
  }),
  z.strictObject({
    ...item,
    command: z.literal('vma extract'),
    config: z.string(),
    target: z.string(),
    size: bytes,
  }),
  z.strictObject({ ...item, command: z.literal('completion'), script: z.string() }),
  z.strictObject({
    type: z.literal('summary'),
    time,
    scope: z.literal('run'),
    command,
    done: z.int(),
    failed: z.int(),
    exitCode: z.int(),
    elapsedMs: milliseconds,
    damage: z.array(damage).optional(),
  }),
]);

/** @throws if one line of the output breaks the promise */
export function parseJsonLines(lines: readonly string[]): z.infer<typeof JSON_LINE>[] {
  return lines.map((line) => JSON_LINE.parse(JSON.parse(line)));
}
