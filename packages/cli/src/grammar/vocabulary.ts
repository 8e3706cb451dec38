import type { PluginDescription } from '@vbackup/core';
import type { Option } from 'commander';
import { allCommands, buildProgram, isGroup, pathOf } from './program.js';

/** The words of the grammar, for completion. */
export interface Vocabulary {
  readonly globals: readonly VocabularyOption[];
  readonly commands: readonly VocabularyCommand[];
  /** Words that only stand before other commands: `vma`. */
  readonly groups: readonly VocabularyGroup[];
}

export interface VocabularyGroup {
  readonly name: string;
  readonly description: string;
  /** The second words of its commands. */
  readonly members: readonly string[];
}

export interface VocabularyCommand {
  /** Of two words in a group: `vma list`. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly VocabularyOption[];
  /** The words its argument can be, where they are fixed. */
  readonly words: readonly string[];
}

export interface VocabularyOption {
  readonly flags: readonly string[];
  readonly description: string;
  /** What follows the flag: nothing, one of some words, a path, or anything. */
  readonly value: 'none' | 'any' | 'path' | readonly string[];
}

/** Taken from the grammar itself, so that completion cannot fall behind it. */
export function vocabulary(plugins: readonly PluginDescription[]): Vocabulary {
  const program = buildProgram(plugins, () => {});
  const names = plugins.map(({ name }) => name);
  const help = { flags: ['-h', '--help'], description: 'show this help', value: 'none' } as const;
  const commands = allCommands(program);
  return {
    globals: [...program.options.map((option) => describe(option, names)), help],
    groups: commands.filter(isGroup).map((group) => ({
      name: group.name(),
      description: group.description(),
      members: group.commands.map((command) => command.name()),
    })),
    commands: commands
      .filter((command) => !isGroup(command))
      .map((command) => ({
        name: pathOf(command),
        description: command.description(),
        options: command.options.filter(({ hidden }) => !hidden).map((option) => describe(option, names)),
        words: command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
      })),
  };
}

function describe(option: Option, plugins: readonly string[]): VocabularyOption {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined);
  return { flags, description: option.description, value: valueOf(option, plugins) };
}

function valueOf(option: Option, plugins: readonly string[]): VocabularyOption['value'] {
  if (option.long === '--hypervisor') return plugins;
  if (option.argChoices !== undefined) return option.argChoices;
  if (!option.required && !option.optional) return 'none';
  return /<(dir|file|FILE|path)>/.test(option.flags) ? 'path' : 'any';
}
