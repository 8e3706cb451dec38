import { z } from 'zod';
import type { JsonValue } from '../../hypervisor/index.js';
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

const json: z.ZodType<JsonValue> = z.lazy(() =>
  z.union([z.string(), z.number(), z.boolean(), z.null(), z.array(json), z.record(z.string(), json)]),
);

/** A JSON object, as checkpoints and journal entries are. */
export const jsonObject = z.record(z.string(), json);

/** Stays inside the folder that it is relative to. */
const relativePath = z
  .string()
  .min(1)
  .refine(
    (path) => !path.startsWith('/') && path.split('/').every((part) => part !== '' && part !== '..' && part !== '.'),
  );

const length = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
const level = z.enum(['full', 'inc', 'diff', 'copy']);
const reason = z.enum(FULL_REASONS).optional();

const audit = z
  .object({ shares: z.number().int().positive(), share: length, length })
  .refine(({ shares, share }) => share < shares);

const disk = z.object({
  name: z.string().regex(/^[A-Za-z0-9_-]+$/),
  id: z.string().min(1),
  label: z.string(),
  size: length,
  level,
  reason,
  detail: z.string().optional(),
  method: z.string(),
  audit: audit.optional(),
  file: relativePath,
  index: relativePath,
  readLength: length,
  dataLength: length,
  storedLength: length,
});

const file = z.object({ path: relativePath, size: length, sha256: z.string().regex(/^[0-9a-f]{64}$/) });

/** Version 1 of the manifest. Keys that it does not know are ignored. */
export const manifestSchema: z.ZodType<Manifest> = z.object({
  format: z.literal('vbackup-manifest'),
  version: z.literal(1),
  id: z.string().regex(ID_PATTERN),
  time: z.iso.datetime(),
  level,
  reason,
  parent: z.string().regex(ID_PATTERN).nullable(),
  after: z.string().regex(ID_PATTERN).optional(),
  chain: relativePath,
  checkpointName: z.string().min(1),
  hypervisor: z.string().min(1),
  guest: z.object({ id: z.string().min(1), name: z.string(), kind: z.enum(['machine', 'disk']) }),
  checkpoint: jsonObject.nullable(),
  compression: z.enum(['lz4', 'none']),
  disks: z.array(disk).min(1),
  files: z.array(file),
  tool: z.object({ name: z.literal('vbackup'), version: z.string() }),
});
