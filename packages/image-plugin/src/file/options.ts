import type { OptionSchema, OptionValues } from '@vbackup/core';
import { z } from 'zod';
import { parseFormat } from './choose-format.js';
import type { ImageFormat } from './image-header.js';

export const FILE_OPTIONS = {
  format: {
    type: 'string',
    description: 'raw, qcow2, vhd, vhdx, vmdk or vdi (default: as name and content agree)',
    placeholder: 'FORMAT',
  },
  bitmap: {
    type: 'string',
    description: 'a persistent dirty bitmap of the qcow2: an increment reads only what it names',
    placeholder: 'NAME',
    alias: 'bitmap',
  },
} as const satisfies OptionSchema;

export interface FileOptions {
  readonly format: ImageFormat | null;
  readonly bitmap: string | null;
}

const ValuesSchema = z.object({ format: z.string().optional(), bitmap: z.string().optional() });

/** @throws VBackupError VB_PLUGIN_OPTION */
export function parseOptions(values: OptionValues): FileOptions {
  const { format, bitmap } = ValuesSchema.parse(values);
  return { format: format === undefined ? null : parseFormat(format), bitmap: bitmap ?? null };
}
