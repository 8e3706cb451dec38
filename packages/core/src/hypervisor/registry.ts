// tsyringe refuses to load without it.
import 'reflect-metadata';

import { createRequire } from 'node:module';
import { isAbsolute, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { container, type DependencyContainer } from 'tsyringe';
import { VBackupError } from '../errors/index.js';
import type { WithSignal } from './block-device.js';
import type { ConnectContext, Hypervisor, HypervisorPlugin } from './hypervisor.js';
import { parseOptions, type RawOptions } from './option-values.js';
import { checkPlugin, isPluginName } from './plugin-shape.js';
import { HypervisorPluginToken } from './tokens.js';

/**
 * Makes a plugin known by its name, and lets it register its injectable parts.
 * @throws VBackupError VB_PLUGIN_INVALID if it breaks the contract or its name is taken
 */
export function registerPlugin(plugin: HypervisorPlugin, into: DependencyContainer = container): void {
  checkPlugin(plugin, 'the plugin');
  if (registeredPlugins(into).some(({ name }) => name === plugin.name)) {
    throw new VBackupError('VB_PLUGIN_INVALID', `a plugin named ${plugin.name} is registered already`);
  }
  into.register(HypervisorPluginToken, { useValue: plugin });
  plugin.register(into);
}

/** Every plugin that was registered, in that order. */
export function registeredPlugins(from: DependencyContainer = container): readonly HypervisorPlugin[] {
  return from.isRegistered(HypervisorPluginToken, true) ? from.resolveAll(HypervisorPluginToken) : [];
}

export interface ConnectPluginOptions extends WithSignal {
  readonly container?: DependencyContainer | undefined;
  readonly onWarning?: ConnectContext['onWarning'];
}

/**
 * Checks the options against what the plugin declares, and connects.
 * @throws VBackupError VB_PLUGIN_OPTION, and whatever the plugin throws
 */
export function connectPlugin(
  plugin: HypervisorPlugin,
  raw: RawOptions,
  { container: from = container, ...context }: ConnectPluginOptions = {},
): Promise<Hypervisor> {
  return plugin.connect(parseOptions(plugin, raw), { container: from, ...context });
}

export interface PluginSources {
  /** Plugins that come with the program, by name; loaded on first use. */
  readonly builtIn?: Readonly<Record<string, () => Promise<HypervisorPlugin>>> | undefined;
  /** Modules named in the configuration: absolute, or relative to `from`. */
  readonly paths?: Readonly<Record<string, string>> | undefined;
  /** The folder that packages named `vbackup-plugin-<name>` and relative paths are looked up from. */
  readonly from?: string | undefined;
}

/**
 * Finds a plugin by name and registers it: one that is registered already, a path from the configuration, one that
 * comes with the program, or the installed package `vbackup-plugin-<name>`, in that order.
 * @throws VBackupError VB_PLUGIN_NOT_FOUND, VB_PLUGIN_INVALID
 */
export async function loadPlugin(
  name: string,
  sources: PluginSources,
  into: DependencyContainer = container,
): Promise<HypervisorPlugin> {
  const known = registeredPlugins(into).find((plugin) => plugin.name === name);
  if (known !== undefined) return known;
  const plugin = await findPlugin(name, sources);
  if (plugin.name !== name) {
    throw new VBackupError('VB_PLUGIN_INVALID', `the plugin found as ${name} calls itself ${plugin.name}`);
  }
  registerPlugin(plugin, into);
  return plugin;
}

async function findPlugin(name: string, sources: PluginSources): Promise<HypervisorPlugin> {
  if (!isPluginName(name)) {
    throw new VBackupError('VB_PLUGIN_NOT_FOUND', `${JSON.stringify(name)} is not the name of a hypervisor plugin`, {
      cure: 'names are lower-case letters, digits and dashes, for example xen',
    });
  }
  const folder = sources.from ?? process.cwd();
  const path = own(sources.paths, name);
  if (path !== undefined) return importPlugin(isAbsolute(path) ? path : resolve(folder, path), name);
  const builtIn = own(sources.builtIn, name);
  if (builtIn !== undefined) return builtIn();
  const packageName = `vbackup-plugin-${name}`;
  const file = resolvePackage(packageName, folder);
  if (file === undefined) {
    const names = Object.keys({ ...sources.builtIn, ...sources.paths });
    throw new VBackupError('VB_PLUGIN_NOT_FOUND', `no hypervisor plugin named ${name}`, {
      cure: `known are: ${names.join(', ') || 'none'}; others come as an npm package named ${packageName}`,
    });
  }
  return importPlugin(file, name);
}

const own = <T>(record: Readonly<Record<string, T>> | undefined, key: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;

function resolvePackage(packageName: string, folder: string): string | undefined {
  try {
    return createRequire(resolve(folder, 'resolve.js')).resolve(packageName);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'MODULE_NOT_FOUND') return undefined;
    throw new VBackupError('VB_PLUGIN_INVALID', `cannot resolve the package ${packageName} from ${folder}`, { cause });
  }
}

/** A plugin module exports its plugin as `plugin`. */
async function importPlugin(file: string, name: string): Promise<HypervisorPlugin> {
  let exported: unknown;
  try {
    exported = await import(pathToFileURL(file).href);
  } catch (cause) {
    throw new VBackupError('VB_PLUGIN_INVALID', `cannot load the plugin ${name} from ${file}`, { cause });
  }
  const plugin: unknown =
    typeof exported === 'object' && exported !== null && 'plugin' in exported ? exported.plugin : undefined;
  checkPlugin(plugin, file);
  return plugin;
}
