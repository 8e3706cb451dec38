import type { OptionValues } from '@vbackup/core';
import * as v from 'valibot';
import { parseFormat } from './choose-format.js';
import type { ImageFormat } from './image-header.js';

export interface FileOptions {
  readonly format: ImageFormat | null;
  readonly bitmap: string | null;
}

const ValuesSchema = v.object({ format: v.optional(v.string()), bitmap: v.optional(v.string()) });

/** @throws VBackupError VB_PLUGIN_OPTION */
export function parseOptions(values: OptionValues): FileOptions {
  const { format, bitmap } = v.parse(ValuesSchema, values);
  return { format: format === undefined ? null : parseFormat(format), bitmap: bitmap ?? null };
}
