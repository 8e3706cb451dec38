import { VBackupError } from '../errors/index.js';
import type { HypervisorPlugin } from './hypervisor.js';

const PLUGIN_NAME = /^[a-z][a-z0-9-]{0,31}$/;
const OPTION_NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const OPTION_TYPES: readonly unknown[] = ['string', 'number', 'boolean', 'file'];

export const isPluginName = (name: string): boolean => PLUGIN_NAME.test(name);

/**
 * Checks what came from outside the program against the contract of {@link HypervisorPlugin}.
 * @throws VBackupError VB_PLUGIN_INVALID
 */
export function checkPlugin(plugin: unknown, source: string): asserts plugin is HypervisorPlugin {
  const fault = faultOf(plugin);
  if (fault === undefined) return;
  throw new VBackupError('VB_PLUGIN_INVALID', `${source} is not a vbackup plugin: ${fault}`, {
    cure: 'a plugin module exports an object named plugin, as docs/writing-a-plugin.md shows',
  });
}

function faultOf(plugin: unknown): string | undefined {
  if (typeof plugin !== 'object' || plugin === null) return 'it exports no object named plugin';
  if (!('name' in plugin) || typeof plugin.name !== 'string') return 'it has no name';
  if (!isPluginName(plugin.name)) return `its name ${JSON.stringify(plugin.name)} is not lower-case letters and digits`;
  if (!('description' in plugin) || typeof plugin.description !== 'string') return 'it has no description';
  if (!('register' in plugin) || typeof plugin.register !== 'function') return 'it has no function register';
  if (!('connect' in plugin) || typeof plugin.connect !== 'function') return 'it has no function connect';
  if (!('options' in plugin) || typeof plugin.options !== 'object' || plugin.options === null)
    return 'it has no options';
  return Object.entries(plugin.options)
    .map(([name, option]) => faultOfOption(name, option))
    .find((fault) => fault !== undefined);
}

function faultOfOption(name: string, option: unknown): string | undefined {
  if (!OPTION_NAME.test(name)) return `its option ${JSON.stringify(name)} is not in kebab-case`;
  if (typeof option !== 'object' || option === null) return `its option ${name} is not an object`;
  if (!('type' in option) || !OPTION_TYPES.includes(option.type)) return `its option ${name} has no known type`;
  if (!('description' in option) || typeof option.description !== 'string') {
    return `its option ${name} has no description`;
  }
  if ('alias' in option && (typeof option.alias !== 'string' || !OPTION_NAME.test(option.alias))) {
    return `its option ${name} has an alias that is not in kebab-case`;
  }
  return undefined;
}
