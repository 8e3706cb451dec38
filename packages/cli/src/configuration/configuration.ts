import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { VBackupError } from '@vbackup/core/errors';
import type { World } from '../world.js';
import { defaultConfigurationPath, variable } from './paths.js';

export type PluginTable = Readonly<Record<string, string | number | boolean>>;

/** What the configuration file says. Paths of the file itself are relative to its folder. */
export interface Configuration {
  /** The file; undefined where there is none. */
  readonly path: string | undefined;
  /** What relative paths are relative to. */
  readonly folder: string;
  readonly repository?: string | undefined;
  readonly compress?: 'lz4' | 'none' | undefined;
  readonly connections?: number | undefined;
  /** Shares of an audit. */
  readonly audit?: number | undefined;
  /** Plugins that are loaded from a file. */
  readonly plugins: Readonly<Record<string, string>>;
  /** The table of each plugin, unchecked: its own options decide. */
  readonly tables: Readonly<Record<string, PluginTable>>;
}

/**
 * Reads the configuration: `flag`, else `$VBACKUP_CONFIG`, else the fixed place, where it may be missing. What parses it is
 * loaded only where there is one.
 * @throws VBackupError VB_CLI_CONFIGURATION
 */
export async function loadConfiguration(world: World, flag: string | undefined): Promise<Configuration> {
  const named = flag ?? variable(world, 'VBACKUP_CONFIG');
  const path = resolve(world.cwd, named ?? defaultConfigurationPath(world));
  let source: string;
  try {
    source = await readFile(path, 'utf8');
  } catch (cause) {
    const missing = cause instanceof Error && 'code' in cause && (cause.code === 'ENOENT' || cause.code === 'ENOTDIR');
    if (missing && named === undefined) return { path: undefined, folder: dirname(path), plugins: {}, tables: {} };
    throw new VBackupError('VB_CLI_CONFIGURATION', `cannot read the configuration ${path}`, { cause });
  }
  const { parseConfiguration } = await import('./parse-configuration.js');
  return parseConfiguration(source, path);
}
