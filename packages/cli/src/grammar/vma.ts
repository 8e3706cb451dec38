import { Argument, Command } from 'commander';

/** The commands of the group `vma`. */
export const vmaCommands = (): Command[] => [list()];

const archive = (): Argument => new Argument('<archive>', 'a file, also compressed, or - for standard input');

const list = (): Command =>
  new Command('list')
    .description('show what an archive holds; only its header is read')
    .addArgument(archive())
    .option('--compat', 'print what `vma list` of Proxmox prints');
