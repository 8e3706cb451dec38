import type { PluginDescription } from '@vbackup/core';

/** What the command line needs to know of the plugin. Nothing else is loaded with it. */
export const FILE_DESCRIPTION = {
  name: 'file',
  description: 'disk images and block devices of this machine that nobody writes to: raw, qcow2, VHD, VHDX, VMDK, VDI',
  options: {
    format: {
      type: 'string',
      description: 'raw, qcow2, vhd, vhdx, vmdk or vdi (default: as name and content agree)',
      placeholder: 'FORMAT',
    },
    bitmap: {
      type: 'string',
      description: 'a persistent dirty bitmap of the qcow2: an increment reads only what it names',
      placeholder: 'NAME',
      alias: 'bitmap',
    },
  },
} as const satisfies PluginDescription;
