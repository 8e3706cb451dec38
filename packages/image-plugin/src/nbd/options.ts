import type { OptionValues } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import * as v from 'valibot';

export interface NbdOptions {
  readonly dirtyBitmap: string | null;
  readonly uri: string | null;
}

const ValuesSchema = v.object({ 'dirty-bitmap': v.optional(v.string()), uri: v.optional(v.string()) });

/** What the flags of other contexts mean nobody says: in `base:allocation`, data has none, and would count as unchanged. */
const DIRTY_BITMAP = /^qemu:dirty-bitmap:./;

/** @throws VBackupError VB_PLUGIN_OPTION */
export function parseOptions(values: OptionValues): NbdOptions {
  const { 'dirty-bitmap': dirtyBitmap, uri } = v.parse(ValuesSchema, values);
  if (dirtyBitmap !== undefined && !DIRTY_BITMAP.test(dirtyBitmap)) {
    throw new VBackupError('VB_PLUGIN_OPTION', `${JSON.stringify(dirtyBitmap)} is no dirty bitmap`, {
      cure: 'write qemu:dirty-bitmap:NAME; nbdinfo --json URI lists what the server offers',
    });
  }
  return { dirtyBitmap: dirtyBitmap ?? null, uri: uri ?? null };
}
