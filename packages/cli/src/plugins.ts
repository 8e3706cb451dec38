import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Hypervisor, HypervisorPlugin, PluginDescription } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import type { DependencyContainer } from 'tsyringe';
import { BUILT_IN_PLUGINS } from './built-in-plugins.js';
import type { Configuration } from './configuration/configuration.js';
import type { World } from './world.js';

export interface ConnectRequest {
  /** Flags by name, e.g. `xen-url`. */
  readonly flags: Readonly<Record<string, string | boolean>>;
  readonly signal: AbortSignal;
  readonly onWarning: (warning: { code: string; message: string }) => void;
}

/** The way to the hypervisors: finds plugins by name and connects them with the values the user gave. */
export class Plugins {
  readonly #container: () => Promise<DependencyContainer>;
  readonly #world: World;
  readonly #configuration: () => Promise<Configuration>;

  constructor(
    container: () => Promise<DependencyContainer>,
    world: World,
    configuration: () => Promise<Configuration>,
  ) {
    this.#container = container;
    this.#world = world;
    this.#configuration = configuration;
  }

  /**
   * What the command line needs to know of a plugin. One that comes with vbackup, and that no path in the configuration
   * stands in for, is not loaded for it.
   * @throws VBackupError VB_PLUGIN_NOT_FOUND, VB_PLUGIN_INVALID, VB_CLI_CONFIGURATION
   */
  async describe(name: string): Promise<PluginDescription> {
    const builtIn = Object.hasOwn(BUILT_IN_PLUGINS, name) ? BUILT_IN_PLUGINS[name] : undefined;
    const { plugins: paths } = await this.#configuration();
    return builtIn === undefined || Object.hasOwn(paths, name) ? this.#load(name) : builtIn.describe();
  }

  /** As {@link describe}, for a word that may be no plugin at all. */
  async find(name: string): Promise<PluginDescription | undefined> {
    try {
      return await this.describe(name);
    } catch (error) {
      if (error instanceof VBackupError && error.code === 'VB_PLUGIN_NOT_FOUND') return undefined;
      throw error;
    }
  }

  /** The caller disposes what it gets. */
  async connect(name: string, { flags, signal, onWarning }: ConnectRequest): Promise<Hypervisor> {
    const plugin = await this.#load(name);
    const { pluginValues } = await import('./configuration/plugin-values.js');
    const { parseOptions } = await import('@vbackup/core/hypervisor');
    const sources = { world: this.#world, configuration: await this.#configuration(), flags, signal };
    const values = parseOptions(plugin, await pluginValues(plugin, sources));
    return await plugin.connect(values, { container: await this.#container(), signal, onWarning });
  }

  /**
   * A plugin comes with vbackup, or from a path in the configuration, or as a package beside the configuration or
   * beside vbackup. Never from the working directory: it may be anyone's.
   */
  async #load(name: string): Promise<HypervisorPlugin> {
    const { loadPlugin } = await import('@vbackup/core/hypervisor');
    const { plugins: paths, folder } = await this.#configuration();
    const container = await this.#container();
    const builtIn = Object.fromEntries(Object.entries(BUILT_IN_PLUGINS).map(([key, { load }]) => [key, load]));
    try {
      return await loadPlugin(name, { builtIn, paths, from: folder }, container);
    } catch (error) {
      if (!(error instanceof VBackupError) || error.code !== 'VB_PLUGIN_NOT_FOUND') throw error;
      const here = dirname(fileURLToPath(import.meta.url));
      return await loadPlugin(name, { builtIn, paths, from: here }, container);
    }
  }
}
