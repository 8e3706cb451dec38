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

/** What a word at the beginning can be, with its description. */
const firstWords = ({ commands, groups }: Vocabulary): { readonly name: string; readonly description: string }[] => [
  ...commands.filter(({ name }) => !name.includes(' ')),
  ...groups,
];

function bash(words: Vocabulary): string {
  const { globals, commands, groups } = words;
  const first = firstWords(words).map(({ name }) => name);
  const all = uniqueOptions([...globals, ...commands.flatMap(({ options }) => options)]);
  const values = all.filter(({ value }) => value !== 'none').map(bashValue);
  const perCommand = commands.map(
    ({ name, options, words }) =>
      `    '${name}') words="${[flagsOf([...options, ...globals]), ...words].join(' ')}" ;;`,
  );
  const perGroup = groups.map(({ name, members }) => `    ${name}) words="${members.join(' ')} help" ;;`);
  const members = groups.map(
    ({ name, members }) =>
      `      ${members.map((member) => `'${name} ${member}'`).join('|')}) command="$command $word"; break ;;`,
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
    case "$command $word" in
${members.join('\n')}
      ${first.map((name) => `' ${name}'`).join('|')}) command=$word ;;
    esac
  done
  case $command in
${[...perCommand, ...perGroup].join('\n')}
    *) words="${first.join(' ')} help ${fallback}" ;;
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

/** Bash knows only the option in front: of an option that several commands have, it offers what any of them takes. */
function uniqueOptions(options: readonly VocabularyOption[]): VocabularyOption[] {
  const found = new Map<string, VocabularyOption>();
  for (const option of options) {
    const key = option.flags.join();
    const before = found.get(key)?.value;
    const value = typeof before === 'object' && typeof option.value === 'object' ? [...before, ...option.value] : [];
    found.set(key, value.length === 0 ? option : { ...option, value: [...new Set(value)] });
  }
  return [...found.values()];
}

const zshText = (text: string): string =>
  text.replace(/[[\]:'\\]/g, (character) => (character === "'" ? "'\\''" : `\\${character}`));

function zsh(words: Vocabulary): string {
  const { globals, commands, groups } = words;
  const list = (options: readonly VocabularyOption[]): string => options.flatMap(zshOption).join(' \\\n        ');
  const perCommand = commands.map(
    (command) => `      '${command.name}') _arguments -s \\
        ${list([...command.options, ...globals])} \\
        ${zshArgument(command)} ;;`,
  );
  const perGroup = groups.map(({ name, members }) => `      ${name}) _values command ${members.join(' ')} help ;;`);
  const names = firstWords(words).map(({ name, description }) => `    '${name}:${zshText(description)}'`);
  const members = groups.flatMap(({ name, members }) => members.map((member) => `'${name} ${member}'`)).join('|');
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
    case "$command $word" in
      ${members}) command="$command $word"; break ;;
    esac
    if [[ -z $command && -n \${commands[(r)$word:*]} ]]; then command=$word; fi
  done
  case $command in
${[...perCommand, ...perGroup].join('\n')}
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

function fish(words: Vocabulary): string {
  const { globals, commands, groups } = words;
  const first = firstWords(words).map(({ name }) => name);
  const lines = [
    '# fish completion for vbackup; load it with: vbackup completion fish | source',
    ...globals.map((option) => fishOption(option, undefined)),
  ];
  for (const { name, description } of firstWords(words)) {
    const unless = `'not __fish_seen_subcommand_from ${first.join(' ')}'`;
    lines.push(`complete -c vbackup -n ${unless} -a ${name} -d ${fishText(description)}`);
  }
  for (const { name, members } of groups) {
    const within = `'__fish_seen_subcommand_from ${name}; and not __fish_seen_subcommand_from ${members.join(' ')}'`;
    lines.push(`complete -c vbackup -f -n ${within} -a ${fishText([...members, 'help'].join(' '))}`);
  }
  for (const { name, options, words } of commands) {
    const within = fishCondition(name, { first, groups });
    lines.push(...options.map((option) => fishOption(option, within)));
    if (words.length > 0) lines.push(`complete -c vbackup -f -n ${within} -a ${fishText(words.join(' '))}`);
  }
  return lines.join('\n');
}

interface FirstWords {
  readonly first: readonly string[];
  readonly groups: Vocabulary['groups'];
}

/** When a command's options and words are offered. */
function fishCondition(name: string, { first, groups }: FirstWords): string {
  // The options of the default command come without it as well.
  if (name === 'backup')
    return `'not __fish_seen_subcommand_from ${first.filter((other) => other !== name).join(' ')}'`;
  const [word, member] = name.split(' ');
  if (member !== undefined) return `'__fish_seen_subcommand_from ${word}; and __fish_seen_subcommand_from ${member}'`;
  // A group can have a member of the same name: `vma list`.
  const others = groups.filter(({ members }) => members.includes(name)).map((group) => group.name);
  const unless = others.length === 0 ? '' : `; and not __fish_seen_subcommand_from ${others.join(' ')}`;
  return `'__fish_seen_subcommand_from ${name}${unless}'`;
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
