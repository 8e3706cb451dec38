import type { OptionSchema, OptionValues } from '@vbackup/core';
import { z } from 'zod';

export const NBD_OPTIONS = {
  'dirty-bitmap': {
    type: 'string',
    description: 'a meta context of the export, such as qemu:dirty-bitmap:NAME: an increment reads only what it names',
    placeholder: 'CONTEXT',
    alias: 'dirty-bitmap',
  },
  uri: { type: 'string', description: 'an export for vbackup doctor to look at', placeholder: 'URI' },
} as const satisfies OptionSchema;

export interface NbdOptions {
  readonly dirtyBitmap: string | null;
  readonly uri: string | null;
}

const ValuesSchema = z.object({ 'dirty-bitmap': z.string().optional(), uri: z.string().optional() });

export function parseOptions(values: OptionValues): NbdOptions {
  const { 'dirty-bitmap': dirtyBitmap, uri } = ValuesSchema.parse(values);
  return { dirtyBitmap: dirtyBitmap ?? null, uri: uri ?? null };
}
