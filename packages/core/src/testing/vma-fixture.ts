import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

/** Where the archives lie. */
export const VMA_FIXTURES = fileURLToPath(new URL('../../fixtures/vma/', import.meta.url));

const content = { name: z.string(), size: z.number(), sha256: z.string() };

const manifestSchema = z.object({
  valid: z.array(
    z.object({
      file: z.string(),
      uuid: z.string().optional(),
      ctime: z.number().optional(),
      headerLength: z.number().optional(),
      configs: z.array(z.object(content)),
      devices: z.array(z.object({ id: z.number(), ...content })),
      extents: z.array(z.object({ offset: z.number(), blockCount: z.number(), clusters: z.number() })).optional(),
      clusters: z.object({ full: z.number(), partial: z.number(), zero: z.number() }).optional(),
      listOutput: z.string(),
    }),
  ),
  corrupt: z.array(z.object({ file: z.string(), expect: z.string() })),
  compressed: z.array(z.object({ file: z.string(), of: z.string() })),
});

/** What the archives hold, and the verdict wanted on the corrupt ones: the name of an error code, or a remark in brackets. */
export const vmaFixtures = manifestSchema.parse(JSON.parse(readFileSync(`${VMA_FIXTURES}manifest.json`, 'utf8')));

export type ValidVmaFixture = (typeof vmaFixtures)['valid'][number];

export const loadVmaFixture = (file: string): Buffer => readFileSync(`${VMA_FIXTURES}${file}`);
