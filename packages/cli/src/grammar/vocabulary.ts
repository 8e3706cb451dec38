import type { HypervisorPlugin } from '@vbackup/core';
import type { Option } from 'commander';
import { buildProgram } from './program.js';

/** The words of the grammar, for completion. */
export interface Vocabulary {
  readonly globals: readonly VocabularyOption[];
  readonly commands: readonly VocabularyCommand[];
}

export interface VocabularyCommand {
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
export function vocabulary(plugins: readonly HypervisorPlugin[]): Vocabulary {
  const program = buildProgram(plugins, () => {});
  const names = plugins.map(({ name }) => name);
  const help = { flags: ['-h', '--help'], description: 'show this help', value: 'none' } as const;
  return {
    globals: [...program.options.map((option) => describe(option, names)), help],
    commands: program.commands.map((command) => ({
      name: command.name(),
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
