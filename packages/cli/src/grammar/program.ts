import type { OptionSpecification, PluginDescription } from '@vbackup/core';
import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { AUDIT_SYNTAX, parseAudit } from '../audit-shares.js';
import type { CommandName } from '../output/events.js';
import { exportCommand, importCommand, pve, pveStorage } from './archives.js';
import { limitRate } from './limit-rate.js';
import { mountCommand, umountCommand } from './mount.js';
import { serveCommand } from './serve.js';
import { vmaCommands } from './vma.js';

/** Backups read over at most so many connections per disk; servers allow 16 at most. */
export const MAX_CONNECTIONS = 16;
/** How a file can be mapped. */
export const METHODS = ['auto', 'seek', 'fiemap', 'qemu-img', 'scan', 'none'] as const;

/** What a disk can be restored as. */
export const RESTORE_FORMATS = ['raw', 'qcow2'] as const;

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type OnCommand = (command: CommandName, operands: readonly string[], parsed: Command) => void;

const EXAMPLES = `
Examples:
  vbackup --hypervisor xen --xen-url https://host 8f2a51c4-…   back up a disk: full at first, then what changed
  vbackup --hypervisor file disk.raw                           a disk image of this machine; needs no hypervisor
  vbackup list                                                 what there is
  vbackup restore 8f2a51c4-…@latest ./disk.raw                 the newest backup of that disk into a file

Each command has its own --help; vbackup --hypervisor xen --help shows the options of that hypervisor.`;

/** The grammar of the command line. The plugins' options join the commands that talk to a hypervisor. */
export function buildProgram(plugins: readonly PluginDescription[], onCommand: OnCommand): Command {
  const program = new Command('vbackup')
    .description('Incremental backup of running virtual machines, in files other people’s tools can read')
    .usage('[command] [options]')
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .configureHelp({ showGlobalOptions: true })
    .option('-V, --version', 'show the version')
    .addHelpText('after', EXAMPLES);
  for (const option of globalOptions()) program.addOption(option);
  for (const command of commands(plugins)) {
    program.addCommand(command, { isDefault: command.name() === 'backup' });
  }
  for (const command of allCommands(program)) {
    command.helpOption('-h, --help', 'show this help').configureHelp({ showGlobalOptions: true });
    if (isGroup(command)) command.helpCommand('help [command]', 'show the help of a command');
    else command.action(() => onCommand(nameOf(pathOf(command)), command.args, command));
  }
  return program;
}

/** Every command of the program, and of its groups: a group comes before what is in it. */
export const allCommands = (program: Command): Command[] =>
  program.commands.flatMap((command) => [command, ...command.commands]);

/** A word that only stands before other commands, as `vma`. */
export const isGroup = (command: Command): boolean => command.commands.length > 0;

/** The words of a command as they are written: `list`, `vma list`. */
export function pathOf(command: Command): string {
  const group = command.parent;
  return group === null || group.parent === null ? command.name() : `${group.name()} ${command.name()}`;
}

function globalOptions(): Option[] {
  return [
    new Option('-r, --repository <dir>', 'where backups are kept (VBACKUP_REPOSITORY)'),
    new Option('--config <file>', 'the configuration (VBACKUP_CONFIG)'),
    new Option('--json', 'one JSON object per line on standard output'),
    new Option('-q, --quiet', 'only errors, and what was asked for').conflicts('verbose'),
    new Option('-v, --verbose', 'more detail'),
    new Option('--no-progress', 'no progress'),
    new Option('--no-color', 'no colours (NO_COLOR)'),
    new Option('--log-file <file>', 'append everything, with times, to a file'),
  ];
}

const NAMES: readonly CommandName[] = [
  'backup',
  'list',
  'info',
  'verify',
  'restore',
  'copy',
  'map',
  'doctor',
  'serve',
  'mount',
  'umount',
  'completion',
  'export',
  'import',
  'vma list',
  'vma config',
  'vma info',
  'vma verify',
  'vma extract',
  'vma create',
  'vma repack',
];

/** The words that a command line can begin with: commands and groups. */
export const COMMAND_NAMES: readonly string[] = [...new Set(NAMES.map((name) => name.split(' ')[0] ?? name))];

function nameOf(name: string): CommandName {
  const found = NAMES.find((candidate) => candidate === name);
  if (found === undefined) throw new TypeError(`no command ${name}`);
  return found;
}

const hypervisorOption = (): Option =>
  new Option('--hypervisor <name>', 'xen, libvirt, file, nbd, or the name of a plugin');

function commands(plugins: readonly PluginDescription[]): Command[] {
  return [
    withPlugins(backup(), plugins),
    new Command('list').description('show backups').argument('[disk]', 'only those of this guest or disk'),
    new Command('info')
      .description('show everything about one backup, or one SparseStream file')
      .argument('<backup>', 'id, unique prefix, <disk>@latest, <disk>@<time>, or a file'),
    new Command('verify')
      .description('read backups and check them, with everything they stand on')
      .argument('[backup...]', 'default: all of them'),
    withPlugins(restore(), plugins),
    copy(),
    map(),
    serveCommand(),
    mountCommand(),
    umountCommand(),
    withPlugins(
      new Command('doctor')
        .description('check the conditions of a backup, with a cure for each')
        .addOption(hypervisorOption()),
      plugins,
    ),
    new Command('completion')
      .description('print a script that completes vbackup commands')
      .addArgument(new Argument('[shell]', 'default: the shell of $SHELL').choices(SHELLS)),
    exportCommand(),
    importCommand(),
    group('vma', 'make, read and check VMA archives, the backups of Proxmox VE', vmaCommands()),
  ];
}

/** Commands of two words: a {@link CommandName} with a space, and a file of its own in `commands/<name>/`. */
function group(name: string, description: string, members: readonly Command[]): Command {
  const command = new Command(name).description(description).usage('<command> [options]');
  for (const member of members) command.addCommand(member);
  return command;
}

const backup = (): Command =>
  new Command('backup')
    .description('back up disks; the default command when --hypervisor is given')
    .usage('--hypervisor <name> <disk...> [options]')
    .argument('[disk...]', 'what to back up; what it may be is the hypervisor’s matter')
    .addOption(hypervisorOption())
    .addOption(
      new Option('--level <level>', 'auto makes an increment if it can (default: "auto")').choices([
        'auto',
        'full',
        'inc',
        'diff',
        'copy',
      ]),
    )
    .addOption(
      new Option('--compress <method>', 'default: "lz4", of an archive "none"').choices(['lz4', 'none', 'zstd']),
    )
    .addOption(
      new Option('--format <format>', 'what it becomes instead of a backup in the repository').choices(['vma']),
    )
    .option('-o, --output <archive>', 'of --format vma: a file, - for standard output, or with --pve a folder')
    .addOption(pve())
    .addOption(pveStorage())
    .option('--force', 'of --format vma: replace an archive that exists')
    .addOption(new Option('--connections <n>', 'connections per disk').argParser(parseConnections))
    .addOption(concurrency())
    .addOption(limitRate())
    .addOption(
      new Option('--audit <1/n>', 'an increment compares another nth of what is called unchanged each run').argParser(
        parseShares,
      ),
    );

const restore = (): Command =>
  new Command('restore')
    .description('write a disk of a backup to a file, a device, an NBD server or a hypervisor')
    .argument('<backup>', 'id, unique prefix, <disk>@latest or <disk>@<time>')
    .argument('<target>', 'a file, a folder (all disks), a block device, an nbd… URI, or a hypervisor: xen:sr=<uuid>')
    .addOption(new Option('--disk <name>', 'only this disk of the backup; again for each').argParser(several))
    .addOption(new Option('--format <format>', 'of the images (default: "raw")').choices(RESTORE_FORMATS))
    .addOption(
      new Option('--in-place', 'write only what differs, into the image or the domain that is there').conflicts([
        'define',
      ]),
    )
    .option('--define', 'make a machine of the disks, in the hypervisor that they were backed up from')
    .option('--name <name>', 'the name of that machine; another one than before makes a copy')
    .addOption(hypervisorOption())
    .addOption(concurrency())
    .addOption(limitRate())
    .option('--force', 'overwrite a file that exists; of --in-place: also disks of another guest');

const concurrency = (): Option =>
  new Option('--concurrency <n>', 'disks of one machine at once (default: 1)').argParser(parseConnections);

const several = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

const copy = (): Command =>
  new Command('copy')
    .description('copy a disk to a file, a device or an NBD server; holes stay holes')
    .argument('<source>', 'a file, a block device or an nbd… URI')
    .argument('<target>', 'a file, a block device or an nbd… URI')
    .addOption(
      new Option('--reflink <when>', 'share the blocks of a file (default: "auto")').choices([
        'auto',
        'always',
        'never',
      ]),
    )
    .option('--verify', 'read both sides afterwards and compare them')
    .option('--force', 'replace a file that exists')
    .addOption(new Option('--connections <n>', 'connections to an NBD server').argParser(parseConnections))
    .addOption(limitRate());

const map = (): Command =>
  new Command('map')
    .description('show which parts of a disk hold data, or what has changed since a backup')
    .argument('<disk>', 'a file, a block device, an nbd… URI, or a backup')
    .option('--totals', 'only sums')
    .addOption(new Option('--method <method>', 'how a file is mapped (default: "auto")').choices(METHODS))
    .option('--disk <name>', 'which disk of the backup, where it has several')
    .option('--changed-since <backup>', 'only what differs from that backup');

function parseConnections(text: string): number {
  const count = /^\d{1,2}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MAX_CONNECTIONS)
    throw new InvalidArgumentError(`It is a number from 1 to ${MAX_CONNECTIONS}.`);
  return count;
}

function parseShares(text: string): number {
  const shares = parseAudit(text);
  if (shares === undefined) throw new InvalidArgumentError(`It is ${AUDIT_SYNTAX}.`);
  return shares;
}

function withPlugins(command: Command, plugins: readonly PluginDescription[]): Command {
  const taken = new Set([...globalOptions(), ...command.options].flatMap(({ short, long }) => [short, long]));
  for (const plugin of plugins) {
    for (const [name, specification] of Object.entries(plugin.options)) {
      if (specification.secret === true) continue;
      const alias = freeAlias(specification, taken);
      for (const option of pluginOptions({ plugin: plugin.name, name, alias }, specification)) {
        command.addOption(option);
        taken.add(option.short).add(option.long);
      }
    }
  }
  return command;
}

/** The flag without the plugin's name; the command's own flags come first, and in help the plugin that comes first. */
function freeAlias({ alias }: OptionSpecification, taken: ReadonlySet<string | undefined>): string | undefined {
  return alias === undefined || taken.has(`--${alias}`) || taken.has(`--no-${alias}`) ? undefined : alias;
}

interface PluginFlag {
  readonly plugin: string;
  readonly name: string;
  readonly alias: string | undefined;
}

function pluginOptions({ plugin, name, alias }: PluginFlag, specification: OptionSpecification): Option[] {
  const flags = (prefix: string): string =>
    [...(alias === undefined ? [] : [alias]), `${plugin}-${name}`].map((flag) => prefix + flag).join(', ');
  const group = `Options of ${plugin}:`;
  if (specification.type === 'boolean') {
    return [new Option(flags('--'), specification.description).helpGroup(group), new Option(flags('--no-')).hideHelp()];
  }
  const placeholder = specification.placeholder ?? specification.type.toUpperCase();
  return [new Option(`${flags('--')} <${placeholder}>`, specification.description).helpGroup(group)];
}
