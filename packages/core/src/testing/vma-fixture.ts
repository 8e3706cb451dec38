import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';

/** Where the archives lie. */
export const VMA_FIXTURES = fileURLToPath(new URL('../../fixtures/vma/', import.meta.url));

const content = { name: v.string(), size: v.number(), sha256: v.string() };

const manifestSchema = v.object({
  valid: v.array(
    v.object({
      file: v.string(),
      uuid: v.optional(v.string()),
      ctime: v.optional(v.number()),
      headerLength: v.optional(v.number()),
      configs: v.array(v.object(content)),
      devices: v.array(v.object({ id: v.number(), ...content })),
      extents: v.optional(
        v.array(
          v.object({
            offset: v.number(),
            blockCount: v.number(),
            clusters: v.number(),
          }),
        ),
      ),
      clusters: v.optional(
        v.object({
          full: v.number(),
          partial: v.number(),
          zero: v.number(),
        }),
      ),
      listOutput: v.string(),
    }),
  ),
  corrupt: v.array(v.object({ file: v.string(), expect: v.string() })),
  compressed: v.array(v.object({ file: v.string(), of: v.string() })),
});

/** What the archives hold, and the verdict wanted on the corrupt ones: the name of an error code, or a remark in brackets. */
export const vmaFixtures = v.parse(manifestSchema, JSON.parse(readFileSync(`${VMA_FIXTURES}manifest.json`, 'utf8')));

export type ValidVmaFixture = (typeof vmaFixtures)['valid'][number];

export const loadVmaFixture = (file: string): Buffer => readFileSync(`${VMA_FIXTURES}${file}`);
