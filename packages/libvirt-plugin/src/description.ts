import type { PluginDescription } from '@vbackup/core';

/** What the command line needs to know of the plugin. Nothing else is loaded with it. */
export const LIBVIRT_DESCRIPTION = {
  name: 'libvirt',
  description: 'QEMU guests of libvirt: backup jobs with dirty bitmaps, read over NBD',
  options: {
    uri: {
      type: 'string',
      description: "the connection, as virsh takes it (default: libvirt's own)",
      placeholder: 'URI',
    },
    user: { type: 'string', description: 'the user, where the daemon asks for one (SASL)', placeholder: 'NAME' },
    password: { type: 'string', description: "the user's password", secret: true },
    exclude: {
      type: 'string',
      description: 'disks that are not backed up, by target, with commas between: vdb,vdc',
      placeholder: 'DISKS',
      alias: 'exclude',
    },
    freeze: {
      type: 'boolean',
      description: "freeze the guest's file systems at the instant of the backup, by its agent",
      alias: 'freeze',
    },
    'freeze-mountpoints': {
      type: 'string',
      description: 'freeze only these, with commas between: /,/var',
      placeholder: 'PATHS',
    },
    pause: { type: 'boolean', description: 'pause the guest at the instant of the backup', alias: 'pause' },
    scratch: {
      type: 'string',
      description: "the host's folder for what the guest overwrites while it is read (default: /var/tmp)",
      placeholder: 'FOLDER',
    },
    'socket-folder': {
      type: 'string',
      description: 'the folder of the socket that the disks are read from (default: /var/tmp)',
      placeholder: 'FOLDER',
    },
  },
} as const satisfies PluginDescription;
