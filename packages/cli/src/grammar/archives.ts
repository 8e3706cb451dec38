import { Argument, Command, InvalidArgumentError, Option } from 'commander';
import { limitRate } from './limit-rate.js';

// Commands and options that make archives, or read them into a repository.

export const create = (): Command =>
  new Command('create')
    .description('make an archive of disks; holes are never read')
    .argument('<archive>', 'a file, - for standard output, or with --pve a folder')
    .addOption(
      new Option(
        '-d, --device <name=source>',
        'a file, a block device, an nbd… URI, or format=vma:<archive>[:<device>]; again for each',
      ).argParser(collect),
    )
    .addOption(new Option('-c, --conf <file>', 'a configuration file to keep in it; again for each').argParser(collect))
    .addOption(compression())
    .addOption(dedup())
    .addOption(uuid())
    .addOption(ctime())
    .addOption(pve())
    .addOption(pveStorage())
    .addOption(limitRate())
    .option('--force', 'replace an archive that exists');

export const repack = (): Command =>
  new Command('repack')
    .description('write an archive again, or some of its devices, each in order')
    .argument('<archive>', 'a file, also compressed, or - for standard input')
    .argument('<target>', 'a file, - for standard output, or with --pve a folder')
    .addOption(
      new Option('-d, --device <names>', 'only these, separated by commas; by name or number').argParser(collect),
    )
    .addOption(new Option('--skip <names>', 'all but these').argParser(collect))
    .addOption(
      new Option('-c, --conf <file>', 'a configuration file instead of the ones in it; again for each').argParser(
        collect,
      ),
    )
    .addOption(compression())
    .addOption(dedup())
    .addOption(uuid())
    .addOption(ctime())
    .addOption(pve())
    .addOption(pveStorage())
    .addOption(limitRate())
    .option('--force', 'replace an archive that exists');

export const exportCommand = (): Command =>
  new Command('export')
    .description('write a backup in the format of other tools')
    .addArgument(new Argument('<format>', 'what becomes of it').choices(['vma', 'stream', 'raw', 'qcow2']))
    .argument('<backup>', 'id, unique prefix, <disk>@latest or <disk>@<time>')
    .argument('<target>', 'vma: a file or -; stream: a new folder; raw and qcow2: a file or a folder')
    .option('--disk <name>', 'only this disk of the backup')
    .addOption(compression())
    .addOption(uuid())
    .addOption(ctime())
    .addOption(pve())
    .addOption(pveStorage())
    .option('--force', 'replace a file that exists');

export const importCommand = (): Command =>
  new Command('import')
    .description('make a backup of what another tool made')
    .addArgument(new Argument('<format>', 'what it is').choices(['vma', 'stream']))
    .argument('<source>', 'vma: a file, also compressed, or -; stream: a folder of virtnbdbackup')
    .addOption(
      new Option('--level <level>', 'auto stores what differs from the import before (default: "auto")').choices([
        'auto',
        'full',
        'copy',
      ]),
    )
    .addOption(new Option('--compress <method>', 'default: "lz4"').choices(['lz4', 'none']));

const compression = (): Option => new Option('--compress <method>', 'default: "none"').choices(['none', 'zstd']);

const dedup = (): Option =>
  new Option('--dedup', 'a UUID that follows from the devices: equal disks become equal bytes').conflicts('uuid');

const uuid = (): Option => new Option('--uuid <uuid>', 'of the archive (default: a random one)');

const ctime = (): Option =>
  new Option('--ctime <seconds>', 'time of the archive, since 1970 (default: that of the disks)').argParser((text) =>
    whole(text, { least: 0, most: 253_402_300_799 }),
  );

export const pve = (): Option =>
  new Option('--pve <vmid>', 'name and write it as Proxmox VE does, for the guest of this number').argParser((text) =>
    whole(text, { least: 100, most: 999_999_999 }),
  );

export const pveStorage = (): Option =>
  new Option('--pve-storage <id>', 'where qmrestore puts the disks (default: "local")');

const collect = (text: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), text];

function whole(text: string, { least, most }: { readonly least: number; readonly most: number }): number {
  const value = /^\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
}
