import type { HypervisorPlugin, PluginDescription } from '@vbackup/core';

/** A plugin that comes with the command: known by its description, loaded when it is used. */
export interface BuiltInPlugin {
  readonly describe: () => Promise<PluginDescription>;
  /** It registers parts that can be replaced. One that has none is not given a container, which takes long to load. */
  readonly hasParts: boolean;
  readonly load: () => Promise<HypervisorPlugin>;
}

/** The plugins that come with the command, by name. */
export const BUILT_IN_PLUGINS: Readonly<Record<string, BuiltInPlugin>> = {
  xen: {
    describe: async () => (await import('@vbackup/xen-plugin/description')).XEN_DESCRIPTION,
    hasParts: true,
    load: async () => (await import('@vbackup/xen-plugin')).xenPlugin,
  },
  file: {
    describe: async () => (await import('@vbackup/image-plugin/file/description')).FILE_DESCRIPTION,
    hasParts: false,
    load: async () => (await import('@vbackup/image-plugin/file/plugin')).filePlugin,
  },
  nbd: {
    describe: async () => (await import('@vbackup/image-plugin/nbd/description')).NBD_DESCRIPTION,
    hasParts: false,
    load: async () => (await import('@vbackup/image-plugin/nbd/plugin')).nbdPlugin,
  },
  libvirt: {
    describe: async () => (await import('@vbackup/libvirt-plugin/description')).LIBVIRT_DESCRIPTION,
    hasParts: true,
    load: async () => (await import('@vbackup/libvirt-plugin')).libvirtPlugin,
  },
};
