import { Argument, Command, Option } from 'commander';
import { create, repack } from './archives.js';
import { limitRate } from './limit-rate.js';

/** The commands of the group `vma`. */
export const vmaCommands = (): Command[] => [list(), config(), info(), verify(), extract(), create(), repack()];

const archive = (): Argument => new Argument('<archive>', 'a file, also compressed, or - for standard input');

const list = (): Command =>
  new Command('list')
    .description('show what an archive holds; only its header is read')
    .addArgument(archive())
    .option('--compat', 'print what `vma list` of Proxmox prints');

const config = (): Command =>
  new Command('config')
    .description('print a configuration of an archive; only the header is read')
    .addArgument(archive())
    .addOption(new Option('-c, --name <name>', 'which one (default: "qemu-server.conf")').conflicts('all'))
    .option('--all', 'write all of them into a folder')
    .option('-o, --output <dir>', 'the folder')
    .option('--force', 'replace files that exist');

const info = (): Command =>
  new Command('info')
    .description('show how the clusters of an archive are stored, device by device')
    .addArgument(archive());

const verify = (): Command =>
  new Command('verify')
    .description('check an archive, also for clusters that are missing, and its content against its digests')
    .addArgument(archive())
    .addOption(new Option('--sidecar <file>', 'the digests (default: <archive>.sha256s, if it is there)'))
    .addOption(
      new Option('--headers', 'leave the content alone, whatever is beside the archive').conflicts([
        'sidecar',
        'hash',
        'read',
      ]),
    )
    .option('--read', 'read every byte, also where there is nothing to compare it with')
    .option('--hash', 'show the SHA-256 of every device')
    .option('--salvage', 'show what can be had of each device, and every damage');

const several = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

const extract = (): Command =>
  new Command('extract')
    .description('write the devices of an archive to files, block devices, NBD servers or standard output')
    .addArgument(archive())
    .argument('[folder]', 'for devices that have no other target, and for configurations')
    .addOption(
      new Option('-d, --device <names>', 'only these, separated by commas; by name or number').argParser(several),
    )
    .addOption(new Option('--skip <names>', 'all but these').argParser(several))
    .addOption(
      new Option(
        '--map <name=target>',
        'a file, perhaps ,format=qcow2, a block device, an nbd… URI, or - for one device',
      ).argParser(several),
    )
    .option('--compat', 'name files as Proxmox does: disk-<name>.raw')
    .option('--force', 'write into a folder that is not empty, and replace files that exist')
    .addOption(limitRate())
    .option('--no-sparse', 'write zeros into files and block devices, so that every byte has its place')
    .addOption(
      new Option('--fifo <path>', 'also -r: read there where each device goes, as qmrestore says it').conflicts([
        'device',
        'skip',
        'map',
        'compat',
      ]),
    )
    .option('--salvage', 'also of a damaged archive: give what is there; what is missing is zeros');
