import * as v from 'valibot';
import type { JsonObject } from '../../hypervisor/index.js';
import type { Manifest } from '../manifest.js';
import { ID_PATTERN } from './names.js';

const FULL_REASONS = [
  'requested',
  'first-backup',
  'no-change-tracking',
  'tracking-just-enabled',
  'tracking-lost',
  'base-missing',
  'base-foreign',
  'disk-new',
  'disk-shrunk',
  'disk-replaced',
  'chain-damaged',
  'tracking-missed-changes',
  'other-disk',
] as const;

/** A JSON object, as checkpoints and journal entries are. It was made by `JSON.parse`, so that all in it is JSON. */
export const jsonObject = v.custom<JsonObject>(
  (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  'Invalid type: Expected Object',
);

/** Stays inside the folder that it is relative to. */
const relativePath = v.pipe(
  v.string(),
  v.minLength(1),
  v.check(
    (path) => !path.startsWith('/') && path.split('/').every((part) => part !== '' && part !== '..' && part !== '.'),
  ),
);

const length = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const level = v.picklist(['full', 'inc', 'diff', 'copy']);
const reason = v.optional(v.picklist(FULL_REASONS));

const audit = v.pipe(
  v.object({ shares: v.pipe(v.number(), v.safeInteger(), v.minValue(1)), share: length, length }),
  v.check(({ shares, share }) => share < shares),
);

const disk = v.object({
  name: v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]+$/)),
  id: v.pipe(v.string(), v.minLength(1)),
  label: v.string(),
  size: length,
  level,
  reason,
  detail: v.optional(v.string()),
  method: v.string(),
  audit: v.optional(audit),
  file: relativePath,
  index: relativePath,
  readLength: length,
  dataLength: length,
  storedLength: length,
});

const file = v.object({ path: relativePath, size: length, sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) });

/** Version 1 of the manifest. Keys that it does not know are ignored. */
export const manifestSchema: v.GenericSchema<unknown, Manifest> = v.object({
  format: v.literal('vbackup-manifest'),
  version: v.literal(1),
  id: v.pipe(v.string(), v.regex(ID_PATTERN)),
  time: v.pipe(v.string(), v.isoTimestamp(), v.endsWith('Z')),
  level,
  reason,
  parent: v.nullable(v.pipe(v.string(), v.regex(ID_PATTERN))),
  after: v.optional(v.pipe(v.string(), v.regex(ID_PATTERN))),
  chain: relativePath,
  checkpointName: v.pipe(v.string(), v.minLength(1)),
  hypervisor: v.pipe(v.string(), v.minLength(1)),
  guest: v.object({ id: v.pipe(v.string(), v.minLength(1)), name: v.string(), kind: v.picklist(['machine', 'disk']) }),
  checkpoint: v.nullable(jsonObject),
  compression: v.picklist(['lz4', 'none']),
  disks: v.pipe(v.array(disk), v.minLength(1)),
  files: v.array(file),
  tool: v.object({ name: v.literal('vbackup'), version: v.string() }),
});
