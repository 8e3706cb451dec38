import * as v from 'valibot';

// The promise of docs/json-output.md, written down a second time and strictly: a field that is not here, or is missing,
// or of another type, fails the tests of every command.

const command = v.picklist([
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
const time = v.pipe(v.string(), v.isoTimestamp(), v.endsWith('Z'));
const bytes = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const milliseconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const level = v.picklist(['full', 'inc', 'diff', 'copy']);

const disk = v.strictObject({
  name: v.string(),
  id: v.string(),
  label: v.string(),
  size: bytes,
  level,
  reason: v.optional(v.string()),
  detail: v.optional(v.string()),
  method: v.string(),
  audit: v.optional(
    v.strictObject({ shares: v.pipe(v.number(), v.safeInteger(), v.minValue(1)), share: bytes, length: bytes }),
  ),
  file: v.string(),
  index: v.string(),
  readLength: bytes,
  dataLength: bytes,
  storedLength: bytes,
});

const manifest = v.strictObject({
  format: v.literal('vbackup-manifest'),
  version: v.literal(1),
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
  time,
  level,
  reason: v.optional(v.string()),
  parent: v.nullable(v.string()),
  after: v.optional(v.string()),
  chain: v.string(),
  checkpointName: v.string(),
  hypervisor: v.string(),
  guest: v.strictObject({ id: v.string(), name: v.string(), kind: v.picklist(['machine', 'disk']) }),
  checkpoint: v.nullable(v.record(v.string(), v.unknown())),
  compression: v.picklist(['lz4', 'none']),
  disks: v.array(disk),
  files: v.array(
    v.strictObject({ path: v.string(), size: bytes, sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) }),
  ),
  tool: v.strictObject({ name: v.literal('vbackup'), version: v.string() }),
});

const damage = v.strictObject({
  code: v.pipe(v.string(), v.regex(/^VB_/)),
  message: v.string(),
  file: v.string(),
  offset: v.optional(bytes),
  disk: v.optional(v.string()),
  extent: v.optional(v.strictObject({ offset: bytes, length: bytes })),
});

const stream = v.strictObject({
  path: v.string(),
  fileSize: bytes,
  version: v.pipe(v.number(), v.safeInteger()),
  disk: v.string(),
  diskFormat: v.nullable(v.string()),
  virtualSize: bytes,
  date: v.string(),
  checkpointName: v.string(),
  parentCheckpoint: v.nullable(v.string()),
  incremental: v.boolean(),
  compression: v.picklist(['lz4', 'none']),
  backup: v.nullable(v.strictObject({ id: v.string(), parent: v.nullable(v.string()) })),
  frames: v.strictObject({ data: bytes, zero: bytes }),
  dataLength: bytes,
  zeroLength: bytes,
  storedLength: bytes,
});

const vmaArchive = v.strictObject({
  path: v.string(),
  compression: v.picklist(['none', 'zstd', 'gzip', 'lzo', 'bzip2']),
  uuid: v.pipe(v.string(), v.uuid()),
  created: v.nullable(time),
  headerLength: bytes,
  configs: v.array(v.strictObject({ name: v.string(), size: bytes })),
  devices: v.array(
    v.strictObject({
      id: v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(255)),
      name: v.string(),
      size: bytes,
    }),
  ),
});

const vmaStructure = {
  extents: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  clustersPerExtent: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(59)),
  clusters: v.array(
    v.strictObject({
      device: v.string(),
      clusters: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      full: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      partial: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      zero: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      missing: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
      storedLength: bytes,
      ordered: v.boolean(),
    }),
  ),
  damages: v.array(
    v.strictObject({
      code: v.pipe(v.string(), v.regex(/^VB_VMA_/)),
      message: v.string(),
      offset: bytes,
      device: v.nullable(v.string()),
      extent: v.nullable(v.strictObject({ offset: bytes, length: bytes })),
    }),
  ),
  damageCount: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
};

const written = v.strictObject({
  path: v.string(),
  compression: v.picklist(['none', 'zstd']),
  uuid: v.pipe(v.string(), v.uuid()),
  created: time,
  length: bytes,
  configs: v.array(v.string()),
  devices: v.array(v.strictObject({ name: v.string(), size: bytes, data: bytes })),
  sidecar: v.nullable(v.string()),
});

const start = { type: v.literal('start'), time, command };
const item = { type: v.literal('summary'), time, scope: v.literal('item') };

/** Every line that `--json` may write. */
export const JSON_LINE = v.union([
  v.strictObject({ ...start, scope: v.literal('run'), version: v.string() }),
  v.strictObject({ ...start, scope: v.literal('item'), id: v.string(), guest: v.string() }),
  v.strictObject({
    ...start,
    scope: v.literal('disk'),
    disk: v.string(),
    size: bytes,
    level,
    reason: v.nullable(v.string()),
    detail: v.nullable(v.string()),
    planned: bytes,
  }),
  v.strictObject({
    ...start,
    scope: v.literal('audit'),
    disk: v.string(),
    share: bytes,
    shares: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
    planned: bytes,
  }),
  v.strictObject({
    type: v.literal('progress'),
    time,
    disk: v.string(),
    audit: v.optional(v.literal(true)),
    done: bytes,
    planned: bytes,
    rate: bytes,
    secondsLeft: v.nullable(bytes),
    finished: v.optional(v.strictObject({ read: bytes, data: bytes, stored: bytes, elapsedMs: milliseconds })),
  }),
  v.strictObject({
    type: v.literal('warning'),
    time,
    code: v.pipe(v.string(), v.regex(/^VB_/)),
    message: v.string(),
    disk: v.nullable(v.string()),
  }),
  v.strictObject({
    type: v.literal('error'),
    time,
    code: v.pipe(v.string(), v.regex(/^VB_/)),
    message: v.string(),
    cure: v.nullable(v.string()),
    subject: v.nullable(v.string()),
    exitCode: v.pipe(v.number(), v.safeInteger()),
    causes: v.array(v.string()),
    stack: v.nullable(v.string()),
  }),
  v.strictObject({
    ...item,
    command: v.literal('backup'),
    backup: manifest,
    repository: v.string(),
    elapsedMs: milliseconds,
  }),
  v.strictObject({ ...item, command: v.literal('list'), backup: manifest }),
  v.strictObject({ ...item, command: v.literal('info'), backup: manifest, chain: v.array(v.string()) }),
  v.strictObject({ ...item, command: v.literal('info'), stream }),
  v.strictObject({ ...item, command: v.literal('verify'), backup: manifest, damage: v.array(damage) }),
  v.strictObject({
    ...item,
    command: v.picklist(['restore', 'export']),
    inPlace: v.optional(v.literal(true)),
    id: v.string(),
    disk: v.string(),
    target: v.string(),
    size: bytes,
    written: bytes,
    elapsedMs: milliseconds,
  }),
  v.strictObject({
    ...item,
    command: v.literal('restore'),
    id: v.string(),
    machine: v.string(),
    machineId: v.string(),
  }),
  v.strictObject({
    ...item,
    command: v.literal('copy'),
    source: v.string(),
    target: v.string(),
    size: bytes,
    written: bytes,
    method: v.picklist(['reflink', 'copy']),
    verified: v.boolean(),
    elapsedMs: milliseconds,
  }),
  v.strictObject({
    ...item,
    command: v.literal('map'),
    disk: v.string(),
    size: bytes,
    data: bytes,
    zero: bytes,
    hole: bytes,
    extents: bytes,
    method: v.string(),
    fileSystem: v.nullable(v.string()),
    changedSince: v.nullable(v.string()),
  }),
  v.strictObject({
    ...item,
    command: v.picklist(['mount', 'umount']),
    directory: v.string(),
    paths: v.array(v.string()),
  }),
  v.strictObject({
    ...item,
    command: v.literal('serve'),
    exports: v.array(
      v.strictObject({
        name: v.string(),
        uri: v.string(),
        size: bytes,
        description: v.string(),
        writable: v.boolean(),
      }),
    ),
  }),
  v.strictObject({
    ...item,
    command: v.literal('doctor'),
    name: v.string(),
    state: v.picklist(['good', 'warning', 'bad']),
    detail: v.string(),
    cure: v.optional(v.string()),
  }),
  v.strictObject({
    ...item,
    command: v.literal('import'),
    backup: manifest,
    repository: v.string(),
    elapsedMs: milliseconds,
  }),
  v.strictObject({
    ...item,
    command: v.picklist(['backup', 'export', 'vma create', 'vma repack']),
    written,
    elapsedMs: milliseconds,
  }),
  v.strictObject({
    ...item,
    command: v.literal('export'),
    id: v.string(),
    folder: v.string(),
    disks: v.array(v.string()),
    elapsedMs: milliseconds,
  }),
  v.strictObject({ ...item, command: v.literal('vma list'), archive: vmaArchive }),
  v.strictObject({
    ...item,
    command: v.literal('vma config'),
    name: v.string(),
    size: bytes,
    content: v.nullable(v.string()),
    file: v.nullable(v.string()),
  }),
  v.strictObject({ ...item, command: v.literal('vma info'), archive: vmaArchive, ...vmaStructure }),
  v.strictObject({
    ...item,
    command: v.literal('vma verify'),
    archive: vmaArchive,
    ...vmaStructure,
    sidecar: v.nullable(v.string()),
    contents: v.array(
      v.strictObject({
        device: v.string(),
        sha256: v.nullable(v.string()),
        checked: v.boolean(),
        reason: v.nullable(v.picklist(['headers-only', 'no-sidecar', 'not-in-sidecar', 'incomplete', 'not-ordered'])),
      }),
    ),
    salvage: v.boolean(),
  }),
  v.strictObject({
    ...item,
    command: v.literal('vma extract'),
    device: v.string(),
    target: v.string(),
    size: bytes,
    written: bytes,
    missing: v.array(v.strictObject({ offset: bytes, length: bytes })),
  }),
  v.strictObject({
    ...item,
    command: v.literal('vma extract'),
    config: v.string(),
    target: v.string(),
    size: bytes,
  }),
  v.strictObject({ ...item, command: v.literal('completion'), script: v.string() }),
  v.strictObject({
    type: v.literal('summary'),
    time,
    scope: v.literal('run'),
    command,
    done: v.pipe(v.number(), v.safeInteger()),
    failed: v.pipe(v.number(), v.safeInteger()),
    exitCode: v.pipe(v.number(), v.safeInteger()),
    elapsedMs: milliseconds,
    damage: v.optional(v.array(damage)),
  }),
]);

/** @throws if one line of the output breaks the promise */
export function parseJsonLines(lines: readonly string[]): v.InferOutput<typeof JSON_LINE>[] {
  return lines.map((line) => v.parse(JSON_LINE, JSON.parse(line)));
}
