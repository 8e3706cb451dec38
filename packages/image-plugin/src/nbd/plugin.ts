import type { HypervisorPlugin } from '@vbackup/core';
import { NbdHypervisor } from './hypervisor.js';
import { NBD_OPTIONS, parseOptions } from './options.js';

/** Exports of NBD servers. */
export const nbdPlugin: HypervisorPlugin = {
  name: 'nbd',
  description: 'exports of NBD servers (nbd://, nbds://, nbd+unix://, nbds+unix://)',
  options: NBD_OPTIONS,
  /** It has no parts to replace. */
  register() {},
  async connect(values, context) {
    return new NbdHypervisor({
      options: parseOptions(values),
      warn: (warning) => context.onWarning?.(warning),
    });
  },
};
