import { Command, InvalidArgumentError, Option } from 'commander';

/** `vbackup serve`. */
export const serveCommand = (): Command =>
  new Command('serve')
    .description('show disks of backups, archives and images to NBD clients, without a restore')
    .argument('<source...>', 'a backup, a VMA archive, a .data file, a folder of virtnbdbackup, an image or a device')
    .option('--disk <name>', 'only this disk of each source')
    .option('--writable <folder>', 'let clients write; what they write is kept in the folder, never in the backup')
    .option('--export <name>', 'the name of the export, where there is one disk')
    .addOption(
      new Option('--socket <path>', 'listen on a unix socket (default: one in a new folder)').conflicts('listen'),
    )
    .addOption(new Option('--socket-mode <mode>', 'permissions of the socket (default: "600")').argParser(parseMode))
    .option('--listen <host:port>', 'listen on a TCP address; port 0 takes a free one')
    .addOption(
      new Option(
        '--tls-certificates <dir>',
        'TLS with server-cert.pem, server-key.pem and, for clients, ca-cert.pem',
      ).conflicts('tlsPsk'),
    )
    .option('--tls-psk <file>', 'TLS with the pre-shared keys of a file made by psktool')
    .option('--insecure', 'listen where anyone on the network can read the disks')
    .option('--once', 'end when the last client has gone');

function parseMode(text: string): number {
  if (!/^0?[0-7]{3}$/.test(text)) throw new InvalidArgumentError('It is three octal digits, as for chmod.');
  return Number.parseInt(text, 8);
}
