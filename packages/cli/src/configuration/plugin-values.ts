import { resolve } from 'node:path';
import type { HypervisorPlugin, OptionSpecification } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { World } from '../world.js';
import type { Configuration } from './configuration.js';
import { variable } from './paths.js';
import { findSecret, variableName } from './secrets.js';

/** Flags as they were given, by their name without dashes, e.g. `xen-url`. */
export type PluginFlags = Readonly<Record<string, string | boolean | undefined>>;

export interface PluginSources {
  readonly world: World;
  readonly configuration: Configuration;
  readonly flags: PluginFlags;
  readonly signal: AbortSignal;
}

/**
 * The raw values of a plugin's options: flag, else environment, else configuration; secrets are never flags.
 * @throws VBackupError VB_CLI_CONFIGURATION, VB_CLI_SECRET, VB_PLUGIN_OPTION for a required option that nobody gave
 */
export async function pluginValues(plugin: HypervisorPlugin, sources: PluginSources): Promise<Record<string, unknown>> {
  checkTable(plugin, sources.configuration);
  const values: Record<string, unknown> = {};
  for (const [option, specification] of Object.entries(plugin.options)) {
    const value =
      specification.secret === true
        ? await secretValue(plugin, option, sources)
        : plainValue(plugin, option, specification, sources);
    if (value !== undefined) values[option] = value;
    else if (specification.required === true) throw missing(plugin.name, option, specification);
  }
  return values;
}

function plainValue(
  { name }: HypervisorPlugin,
  option: string,
  specification: OptionSpecification,
  { world, configuration, flags }: PluginSources,
): string | number | boolean | undefined {
  const given = flags[`${name}-${option}`] ?? variable(world, variableName(name, option));
  if (given !== undefined) return asPath(given, specification, world.cwd);
  const configured = configuration.tables[name]?.[option];
  return configured === undefined ? undefined : asPath(configured, specification, configuration.folder);
}

const asPath = <T>(value: T, specification: OptionSpecification, folder: string): T | string =>
  specification.type === 'file' && typeof value === 'string' ? resolve(folder, value) : value;

function secretValue({ name }: HypervisorPlugin, option: string, sources: PluginSources): Promise<string | undefined> {
  const { world, configuration, signal } = sources;
  const table = configuration.tables[name];
  const file = table?.[`${option}-file`];
  const command = table?.[`${option}-command`];
  return findSecret(world, {
    plugin: name,
    option,
    signal,
    file: typeof file === 'string' ? resolve(configuration.folder, file) : undefined,
    command: typeof command === 'string' ? command : undefined,
  });
}

function checkTable(plugin: HypervisorPlugin, configuration: Configuration): void {
  const where = `${configuration.path ?? 'the configuration'}: [${plugin.name}]`;
  const secrets = Object.keys(plugin.options).filter((option) => plugin.options[option]?.secret === true);
  const sources = secrets.flatMap((option) => [`${option}-file`, `${option}-command`]);
  for (const key of Object.keys(configuration.tables[plugin.name] ?? {})) {
    if (secrets.includes(key)) {
      throw new VBackupError('VB_CLI_CONFIGURATION', `${where} holds the secret ${key} itself`, {
        cure: `name a file or a command that gives it: ${key}-file, ${key}-command`,
      });
    }
    if (Object.hasOwn(plugin.options, key) || sources.includes(key)) continue;
    const known = [...Object.keys(plugin.options).filter((option) => !secrets.includes(option)), ...sources];
    throw new VBackupError('VB_CLI_CONFIGURATION', `${where} has no option ${key}`, {
      cure: `its options are: ${known.join(', ')}`,
    });
  }
}

function missing(plugin: string, option: string, specification: OptionSpecification): VBackupError {
  const name = variableName(plugin, option);
  const cure =
    specification.secret === true
      ? `set ${name}_FILE, ${name}_COMMAND, ${name}_FD or ${name}, or ${option}-file in [${plugin}]`
      : `give --${plugin}-${option}, set ${name}, or write ${option} into [${plugin}] of the configuration`;
  return new VBackupError('VB_PLUGIN_OPTION', `the ${plugin} option ${option} is missing`, { cure });
}
