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
    repair: {
      type: 'string',
      description: 'a program that makes libvirtd forget a backup job that it lost when it was killed; gets the domain',
      placeholder: 'PROGRAM',
    },
    'nbd-tls-certificates': {
      type: 'string',
      description: 'the folder with ca-cert.pem, client-cert.pem and client-key.pem, to read disks of another host',
      placeholder: 'FOLDER',
    },
    'nbd-host': {
      type: 'string',
      description: "how the other host is reached, and what its certificate must name (default: the URI's host)",
      placeholder: 'HOST',
    },
    'nbd-port': {
      type: 'number',
      description: 'the port of the other host on which QEMU offers the disks (default: 10809)',
      placeholder: 'PORT',
    },
    'nbd-listen': {
      type: 'string',
      description: 'the address of the other host on which QEMU offers the disks (default: the same as nbd-host)',
      placeholder: 'ADDRESS',
    },
    'nbd-insecure': {
      type: 'boolean',
      description: 'read the disks of another host in clear text, which anyone who reaches the port can do as well',
    },
  },
} as const satisfies PluginDescription;
