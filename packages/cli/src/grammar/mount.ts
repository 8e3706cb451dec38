import { Command } from 'commander';

/** `vbackup mount`. */
export const mountCommand = (): Command =>
  new Command('mount')
    .description('show disks of a backup, an archive or an image as files in a folder, until it is unmounted')
    .argument('<source>', 'a backup, a VMA archive, a .data file, a folder of virtnbdbackup, an image or a device')
    .argument('<directory>', 'an existing folder')
    .option('--disk <name>', 'only this disk of the source')
    .option('--files', 'the files on the disks, at their places in the guest, instead of the disks (needs guestmount)')
    .option('--filesystem <device>', 'the files of this file system, as guestmount names it: /dev/sda1, /dev/vg/root')
    .option('--writable <folder>', 'let programs write; what they write is kept in the folder, never in the backup');

/** `vbackup umount`. */
export const umountCommand = (): Command =>
  new Command('umount')
    .description('end what vbackup mount shows in a folder')
    .argument('<directory>', 'the folder that was given to vbackup mount');
