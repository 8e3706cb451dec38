import { isAbsolute, join, resolve } from 'node:path';
import type { World } from '../world.js';

/** An environment variable that is set and not empty. */
export const variable = (world: World, name: string): string | undefined => world.env[name] || undefined;

/** The base directory specification (XDG) demands absolute paths and tells to ignore others. */
function xdg(world: World, name: string, fallback: string): string {
  const path = variable(world, name);
  return path !== undefined && isAbsolute(path) ? path : join(world.home, fallback);
}

/** Where the configuration is looked for when nobody names one; it need not exist. */
export const defaultConfigurationPath = (world: World): string =>
  world.root ? '/etc/vbackup/config.toml' : join(xdg(world, 'XDG_CONFIG_HOME', '.config'), 'vbackup', 'config.toml');

const defaultRepository = (world: World): string =>
  world.root ? '/var/lib/vbackup' : join(xdg(world, 'XDG_DATA_HOME', '.local/share'), 'vbackup');

/** The repository: the flag, else `VBACKUP_REPOSITORY`, else the configuration, else the place for data. */
export const repositoryPath = (world: World, flag: string | undefined, configured: string | undefined): string =>
  resolve(world.cwd, flag ?? variable(world, 'VBACKUP_REPOSITORY') ?? configured ?? defaultRepository(world));

/** What is remembered between runs and belongs to no repository: `VBACKUP_STATE`, else the place for states. */
export const statePath = (world: World): string =>
  resolve(
    world.cwd,
    variable(world, 'VBACKUP_STATE') ??
      (world.root ? '/var/lib/vbackup-state' : join(xdg(world, 'XDG_STATE_HOME', '.local/state'), 'vbackup')),
  );
