import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConnectContext, Hypervisor, HypervisorPlugin, PluginDescription } from '@vbackup/core';
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
    const plain = await this.#loadPlain(name);
    const plugin = plain ?? (await this.#load(name));
    const { pluginValues } = await import('./configuration/plugin-values.js');
    const { parseOptions } = await import('@vbackup/core/hypervisor/option-values');
    const sources = { world: this.#world, configuration: await this.#configuration(), flags, signal };
    const values = parseOptions(plugin, await pluginValues(plugin, sources));
    if (plain !== undefined) return await plain.connect(values, new PlainContext(signal, onWarning));
    return await plugin.connect(values, { container: await this.#container(), signal, onWarning });
  }

  /** A plugin that comes with vbackup and has no parts, unless a path in the configuration stands in for it. */
  async #loadPlain(name: string): Promise<HypervisorPlugin | undefined> {
    const builtIn = Object.hasOwn(BUILT_IN_PLUGINS, name) ? BUILT_IN_PLUGINS[name] : undefined;
    if (builtIn === undefined || builtIn.hasParts) return undefined;
    const { plugins: paths } = await this.#configuration();
    return Object.hasOwn(paths, name) ? undefined : builtIn.load();
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

/** What a plugin without parts is connected with. */
class PlainContext implements ConnectContext {
  readonly signal: AbortSignal;
  readonly onWarning: ConnectRequest['onWarning'];

  constructor(signal: AbortSignal, onWarning: ConnectRequest['onWarning']) {
    this.signal = signal;
    this.onWarning = onWarning;
  }

  get container(): never {
    throw new VBackupError('VB_INTERNAL', 'a plugin without parts asks for the container');
  }
}
