import { VBackupError } from '../errors/index.js';
import type { HypervisorPlugin } from './hypervisor.js';
import type { OptionSpecification, OptionValues } from './options.js';

/** Options as they arrive: text from flags and the environment, typed values from a configuration or a program. */
export type RawOptions = Readonly<Record<string, unknown>>;

/**
 * Turns raw values into what the plugin declared.
 * @throws VBackupError VB_PLUGIN_OPTION for an unknown option, a missing one, or a value of another type
 */
export function parseOptions(plugin: HypervisorPlugin, raw: RawOptions): OptionValues {
  for (const name of Object.keys(raw)) {
    if (Object.hasOwn(plugin.options, name)) continue;
    throw new VBackupError('VB_PLUGIN_OPTION', `the plugin ${plugin.name} has no option ${name}`, {
      cure: `its options are: ${Object.keys(plugin.options).join(', ') || 'none'}`,
    });
  }
  const values: Record<string, string | number | boolean | undefined> = {};
  for (const [name, specification] of Object.entries(plugin.options)) {
    const given = Object.hasOwn(raw, name) ? raw[name] : undefined;
    if (given !== undefined) values[name] = parse(`${plugin.name} option ${name}`, specification, given);
    else if (specification.required === true) throw missing(plugin.name, name, specification);
  }
  return values;
}

function parse(what: string, specification: OptionSpecification, given: unknown): string | number | boolean {
  switch (specification.type) {
    case 'string':
    case 'file':
      if (typeof given === 'string' && given !== '') return given;
      break;
    case 'number': {
      const number = typeof given === 'string' && given.trim() !== '' ? Number(given) : given;
      if (typeof number === 'number' && Number.isFinite(number)) return number;
      break;
    }
    case 'boolean':
      if (typeof given === 'boolean') return given;
      if (given === 'true' || given === '1') return true;
      if (given === 'false' || given === '0') return false;
      break;
  }
  const shown = specification.secret === true ? 'the given value' : JSON.stringify(given);
  throw new VBackupError('VB_PLUGIN_OPTION', `${shown} is not a ${specification.type} for the ${what}`);
}

function missing(plugin: string, name: string, specification: OptionSpecification): VBackupError {
  const variable = `VBACKUP_${plugin}_${name}`.toUpperCase().replaceAll('-', '_');
  const cure =
    specification.secret === true
      ? `set ${variable}, ${variable}_FILE or ${variable}_COMMAND`
      : `give --${plugin}-${name} or set ${variable}`;
  return new VBackupError('VB_PLUGIN_OPTION', `the ${plugin} option ${name} is missing`, { cure });
}
