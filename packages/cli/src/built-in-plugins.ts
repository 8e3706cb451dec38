import type { HypervisorPlugin } from '@vbackup/core';

/** The plugins that come with the command, loaded on first use. */
export const BUILT_IN_PLUGINS: Readonly<Record<string, () => Promise<HypervisorPlugin>>> = {
  xen: async () => (await import('@vbackup/xen-plugin')).xenPlugin,
  file: async () => (await import('@vbackup/image-plugin')).filePlugin,
  nbd: async () => (await import('@vbackup/image-plugin')).nbdPlugin,
  libvirt: async () => (await import('@vbackup/libvirt-plugin')).libvirtPlugin,
};
