import type { OptionSpecification, PluginDescription } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { variableName } from '../configuration/secrets.js';
import { usageError } from '../usage.js';
import type { Scan } from './scan.js';
import { vocabulary } from './vocabulary.js';

/** An option of a plugin, and the flags that mean it: `--file-bitmap`, and perhaps `--bitmap`. */
interface PluginOption {
  readonly plugin: string;
  readonly name: string;
  readonly specification: OptionSpecification;
  readonly flags: readonly string[];
}

/**
 * Refuses secrets as arguments, options of a hypervisor that is not in use, and an option that is given twice, by both
 * of its names, with two values. No value appears in a message.
 * @throws VBackupError VB_CLI_SECRET_AS_ARGUMENT, VB_CLI_FOREIGN_OPTION, VB_CLI_USAGE
 */
export function checkPluginFlags(seen: Scan, used: readonly PluginDescription[], known: readonly string[]): void {
  const options = used.flatMap(optionsOf);
  for (const flag of seen.flags) {
    const positive = positiveOf(flag);
    const option = options.find(({ flags }) => flags.includes(positive));
    if (option?.specification.secret === true) throw secretAsArgument(positive, option);
    const owner = known.find((name) => positive.startsWith(`--${name}-`));
    if (owner !== undefined && !used.some(({ name }) => name === owner)) throw foreign(flag, owner, seen);
  }
  for (const option of options) checkBoth(option, seen);
}

/** Flags that neither the grammar nor a plugin in use knows: perhaps those of another plugin without its name. */
export function unknownFlags(seen: Scan, used: readonly PluginDescription[]): readonly string[] {
  if (seen.flags.length === 0) return [];
  const known = flagsOf(used);
  return seen.flags.filter((flag) => !known.has(flag) && !known.has(positiveOf(flag)));
}

/**
 * Names the plugin that an unknown flag belongs to.
 * @throws VBackupError VB_CLI_FOREIGN_OPTION
 */
export function checkForeignAliases(
  unknown: readonly string[],
  seen: Scan,
  plugins: readonly PluginDescription[],
): void {
  const options = plugins.flatMap(optionsOf);
  for (const flag of unknown) {
    const owner = options.find(({ flags }) => flags.includes(positiveOf(flag)));
    if (owner !== undefined) throw foreign(flag, owner.plugin, seen);
  }
}

const positiveOf = (flag: string): string => flag.replace(/^--no-/, '--');

/** Every flag of the grammar with these plugins. */
function flagsOf(plugins: readonly PluginDescription[]): ReadonlySet<string> {
  const { globals, commands } = vocabulary(plugins);
  return new Set([...globals, ...commands.flatMap(({ options }) => options)].flatMap(({ flags }) => flags));
}

/** A flag of the command itself is no plugin's, whatever the plugin says. */
function optionsOf(plugin: PluginDescription): PluginOption[] {
  const own = flagsOf([]);
  return Object.entries(plugin.options).map(([name, specification]) => {
    const flags = [`--${plugin.name}-${name}`];
    const alias = `--${specification.alias}`;
    if (specification.alias !== undefined && !own.has(alias)) flags.push(alias);
    return { plugin: plugin.name, name, specification, flags };
  });
}

function checkBoth({ specification, flags }: PluginOption, seen: Scan): void {
  const forms = flags
    .flatMap((flag) => [flag, flag.replace('--', '--no-')])
    .filter((flag) => seen.flags.includes(flag));
  const given = forms.filter((form, at) => forms.findIndex((other) => positiveOf(other) === positiveOf(form)) === at);
  const [first, second] = given;
  if (first === undefined || second === undefined) return;
  const same =
    specification.type === 'boolean'
      ? first.startsWith('--no-') === second.startsWith('--no-')
      : seen.valueOf(first) === seen.valueOf(second);
  if (!same) throw usageError(`${first} and ${second} are one option, and differ`, 'leave one of them out');
}

function foreign(flag: string, owner: string, seen: Scan): VBackupError {
  const instead = seen.hypervisor === undefined ? 'no hypervisor was named' : `the hypervisor is ${seen.hypervisor}`;
  return new VBackupError('VB_CLI_FOREIGN_OPTION', `${flag} is an option of ${owner}, and ${instead}`, {
    cure: `give --hypervisor ${owner}, or leave it out`,
  });
}

function secretAsArgument(flag: string, { plugin, name: option }: PluginOption): VBackupError {
  const name = variableName(plugin, option);
  return new VBackupError('VB_CLI_SECRET_AS_ARGUMENT', `${flag} is refused: arguments are not secret`, {
    cure:
      `every user of this machine can read them; set ${name}_FILE, ${name}_COMMAND, ${name}_FD or ${name}, ` +
      `or have systemd load the credential ${plugin}-${option}`,
  });
}
