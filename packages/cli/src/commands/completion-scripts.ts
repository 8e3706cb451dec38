import type { SHELLS } from '../grammar/program.js';
import type { Vocabulary, VocabularyCommand, VocabularyOption } from '../grammar/vocabulary.js';

/** A script for the shell that completes commands, options and the values that are known beforehand. */
export function completionScript(shell: (typeof SHELLS)[number], words: Vocabulary): string {
  switch (shell) {
    case 'bash':
      return bash(words);
    case 'zsh':
      return zsh(words);
    case 'fish':
      return fish(words);
  }
}

const flagsOf = (options: readonly VocabularyOption[]): string => options.flatMap(({ flags }) => flags).join(' ');

function bash({ globals, commands }: Vocabulary): string {
  const all = uniqueOptions([...globals, ...commands.flatMap(({ options }) => options)]);
  const values = all.filter(({ value }) => value !== 'none').map(bashValue);
  const perCommand = commands.map(
    ({ name, options, words }) => `    ${name}) words="${[flagsOf([...options, ...globals]), ...words].join(' ')}" ;;`,
  );
  const fallback = flagsOf([...(commands.find(({ name }) => name === 'backup')?.options ?? []), ...globals]);
  return `# bash completion for vbackup; load it with: source <(vbackup completion bash)
_vbackup() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= word words
  COMPREPLY=()
  case $prev in
${values.join('\n')}
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ${commands.map(({ name }) => name).join('|')}) command=$word; break ;;
    esac
  done
  case $command in
${perCommand.join('\n')}
    *) words="${commands.map(({ name }) => name).join(' ')} help ${fallback}" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _vbackup vbackup`;
}

function bashValue({ flags, value }: VocabularyOption): string {
  if (value === 'path') return `    ${flags.join('|')}) COMPREPLY=($(compgen -f -- "$cur")); return ;;`;
  if (value === 'any' || value === 'none') return `    ${flags.join('|')}) return ;;`;
  return `    ${flags.join('|')}) COMPREPLY=($(compgen -W "${value.join(' ')}" -- "$cur")); return ;;`;
}

function uniqueOptions(options: readonly VocabularyOption[]): VocabularyOption[] {
  return [...new Map(options.map((option) => [option.flags.join(), option])).values()];
}

const zshText = (text: string): string =>
  text.replace(/[[\]:'\\]/g, (character) => (character === "'" ? "'\\''" : `\\${character}`));

function zsh({ globals, commands }: Vocabulary): string {
  const list = (options: readonly VocabularyOption[]): string => options.flatMap(zshOption).join(' \\\n        ');
  const perCommand = commands.map(
    (command) => `      ${command.name}) _arguments -s \\
        ${list([...command.options, ...globals])} \\
        ${zshArgument(command)} ;;`,
  );
  const names = commands.map(({ name, description }) => `    '${name}:${zshText(description)}'`);
  const fallback = list([...(commands.find(({ name }) => name === 'backup')?.options ?? []), ...globals]);
  return `#compdef vbackup
# zsh completion for vbackup; load it with: source <(vbackup completion zsh)
_vbackup() {
  local -a commands
  commands=(
${names.join('\n')}
  )
  local word command=
  for word in \${words[2,CURRENT-1]}; do
    if [[ -n \${commands[(r)$word:*]} ]]; then command=$word; break; fi
  done
  case $command in
${perCommand.join('\n')}
      *) _describe -t commands command commands
        _arguments -s \\
        ${fallback} ;;
  esac
}
compdef _vbackup vbackup`;
}

function zshOption({ flags, description, value }: VocabularyOption): string[] {
  const text = `[${zshText(description)}]`;
  const argument =
    value === 'none'
      ? ''
      : value === 'path'
        ? ':path:_files'
        : value === 'any'
          ? ':value:'
          : `:value:(${value.join(' ')})`;
  return flags.map((flag) => `'${flag}${text}${argument}'`);
}

const zshArgument = ({ words }: VocabularyCommand): string =>
  words.length > 0 ? `'*:word:(${words.join(' ')})'` : `'*:argument:_files'`;

const fishText = (text: string): string => `'${text.replace(/['\\]/g, (character) => `\\${character}`)}'`;

function fish({ globals, commands }: Vocabulary): string {
  const names = commands.map(({ name }) => name).join(' ');
  const lines = [
    '# fish completion for vbackup; load it with: vbackup completion fish | source',
    ...globals.map((option) => fishOption(option, undefined)),
  ];
  for (const { name, description, options, words } of commands) {
    const unless = `'not __fish_seen_subcommand_from ${names}'`;
    lines.push(`complete -c vbackup -n ${unless} -a ${name} -d ${fishText(description)}`);
    // The options of the default command come without it as well.
    const others = commands.map((command) => command.name).filter((other) => other !== name);
    const isDefault = name === 'backup';
    const within = isDefault
      ? `'not __fish_seen_subcommand_from ${others.join(' ')}'`
      : `'__fish_seen_subcommand_from ${name}'`;
    lines.push(...options.map((option) => fishOption(option, within)));
    if (words.length > 0) lines.push(`complete -c vbackup -f -n ${within} -a ${fishText(words.join(' '))}`);
  }
  return lines.join('\n');
}

function fishOption({ flags, description, value }: VocabularyOption, condition: string | undefined): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const argument =
    value === 'none'
      ? ''
      : value === 'path'
        ? ' -r -F'
        : value === 'any'
          ? ' -x'
          : ` -x -a ${fishText(value.join(' '))}`;
  const when = condition === undefined ? '' : ` -n ${condition}`;
  return `complete -c vbackup${when} ${names.join(' ')}${argument} -d ${fishText(description)}`;
}
