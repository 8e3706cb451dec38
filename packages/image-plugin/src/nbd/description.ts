import type { PluginDescription } from '@vbackup/core';

/** What the command line needs to know of the plugin. Nothing else is loaded with it. */
export const NBD_DESCRIPTION = {
  name: 'nbd',
  description: 'exports of NBD servers (nbd://, nbds://, nbd+unix://, nbds+unix://)',
  options: {
    'dirty-bitmap': {
      type: 'string',
      description:
        'qemu:dirty-bitmap:NAME, a dirty bitmap that the server offers: an increment reads only what it names',
      placeholder: 'CONTEXT',
      alias: 'dirty-bitmap',
    },
    uri: { type: 'string', description: 'an export for vbackup doctor to look at', placeholder: 'URI' },
  },
} as const satisfies PluginDescription;
