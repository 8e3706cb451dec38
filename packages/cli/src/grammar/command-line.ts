import type { PluginDescription } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { type Command, CommanderError } from 'commander';
import { usageError } from '../usage.js';
import type { World } from '../world.js';
import { type Invocation, Options } from './invocation.js';
import { allCommands, buildProgram, COMMAND_NAMES, isGroup, pathOf } from './program.js';
import { suggest } from './suggest.js';

export interface CommandLine {
  readonly args: readonly string[];
  readonly plugins: readonly PluginDescription[];
  readonly world: World;
  readonly version: string;
}

/**
 * Reads the command line. Help and version are written, and then there is nothing to do: undefined.
 * @throws VBackupError VB_CLI_USAGE, VB_CLI_UNKNOWN_COMMAND
 */
export function readCommandLine({ args, plugins, world, version }: CommandLine): Invocation | undefined {
  let invocation: Invocation | undefined;
  const program: Command = buildProgram(plugins, (command, operands, parsed) => {
    const explicit = command !== 'backup' || program.args[0] === command;
    invocation = { command, explicit, operands, options: optionsOf(program, parsed) };
  });
  for (const command of [program, ...allCommands(program)]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: () => {},
      getOutHelpWidth: () => world.stdout.columns,
      getErrHelpWidth: () => world.stderr.columns,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  }
  program.on('option:version', () => {
    throw new CommanderError(0, 'commander.version', version);
  });
  try {
    program.parse([...args], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === 'commander.version') world.stdout.write(`vbackup ${version}\n`);
    else if (error.exitCode !== 0) throw asUsageError(error, program);
    return undefined;
  }
  return invocation === undefined ? undefined : checked(invocation);
}

function optionsOf(program: Command, command: Command): Options {
  const values = new Map<string, unknown>();
  for (const owner of [program, command]) {
    for (const option of owner.options) {
      const value: unknown = owner.getOptionValue(option.attributeName());
      const name = option.negate ? option.name().replace(/^no-/, '') : option.name();
      if (value !== undefined) values.set(name, value);
    }
  }
  return new Options(values);
}

/** Commander's words, without the value of a flag: it might be a secret. */
function asUsageError(error: CommanderError, program: Command): VBackupError {
  const group = program.commands.find((command) => isGroup(command) && command.name() === program.args[0]);
  if (error.code === 'commander.help') return usageError(...missingCommand(group));
  if (error.code === 'commander.unknownCommand' && group !== undefined) return unknownMember(group);
  const first = error.message.split('\n')[0] ?? '';
  const message = first.replace(/^error: /, '').replace(/^(unknown option '[^=']*)=.*'$/, "$1'");
  const flag = /^unknown option '([^']*)'/.exec(message)?.[1];
  const meant = flag === undefined ? undefined : suggest(flag, flagsOf(program));
  const cure = meant === undefined || meant === flag ? cureFor(program) : `did you mean ${meant}?`;
  return usageError(message.replace(/\.$/, ''), cure);
}

const membersOf = (group: Command): string[] => group.commands.map((command) => command.name());

function missingCommand(group: Command | undefined): [message: string, cure?: string] {
  if (group === undefined) return ['no command given'];
  const name = group.name();
  return [`${name} needs a command`, `it is one of ${membersOf(group).join(', ')}; see vbackup ${name} --help`];
}

function unknownMember(group: Command): VBackupError {
  const members = membersOf(group);
  const word = group.args[0] ?? '';
  const meant = suggest(word, members);
  return new VBackupError('VB_CLI_UNKNOWN_COMMAND', `unknown command ${group.name()} ${word}`, {
    cure: meant === undefined ? `it is one of ${members.join(', ')}` : `did you mean ${group.name()} ${meant}?`,
  });
}

const flagsOf = (program: Command): string[] =>
  [program, ...allCommands(program)].flatMap(({ options }) =>
    options.flatMap(({ short, long }) => [short, long].filter((flag) => flag !== undefined)),
  );

function cureFor(program: Command): string {
  const words = program.args.filter((arg) => !arg.startsWith('-')).slice(0, 2);
  const commands = allCommands(program).map(pathOf);
  const named = [words.join(' '), words[0]].find((path) => path !== undefined && commands.includes(path));
  return named === undefined ? 'see vbackup --help' : `see vbackup ${named} --help`;
}

/** `backup` is the default command, but a misspelt command is not a disk. */
function checked(invocation: Invocation): Invocation {
  const { command, explicit, operands, options } = invocation;
  const empty = options.emptyText();
  if (empty !== undefined) throw usageError(`the value of --${empty} is empty`);
  if (operands.includes('')) throw usageError('an argument is empty');
  if (command !== 'backup') return invocation;
  const hypervisor = options.text('hypervisor');
  if (!explicit) checkWord(operands[0], hypervisor);
  if (hypervisor === undefined) throw usageError('--hypervisor is missing', 'name one, e.g. --hypervisor xen');
  if (operands.length === 0) throw usageError('no disk to back up was named', 'see vbackup backup --help');
  return invocation;
}

function checkWord(word: string | undefined, hypervisor: string | undefined): void {
  if (word === undefined) {
    if (hypervisor === undefined) throw usageError('neither a command nor --hypervisor was given');
    return;
  }
  if (COMMAND_NAMES.includes(word)) throw usageError(`the command ${word} must come before its options`);
  const meant = suggest(word, COMMAND_NAMES);
  if (meant === undefined && hypervisor !== undefined) return;
  throw new VBackupError('VB_CLI_UNKNOWN_COMMAND', `unknown command ${word}`, {
    cure: meant === undefined ? cureForWord : `did you mean ${meant}? A disk of that name: vbackup backup … ${word}`,
  });
}

const cureForWord = `the commands are ${COMMAND_NAMES.join(', ')}; a backup needs --hypervisor`;
