import type { OptionValues } from '@vbackup/core';
import { z } from 'zod';
import { parseFormat } from './choose-format.js';
import type { ImageFormat } from './image-header.js';

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
