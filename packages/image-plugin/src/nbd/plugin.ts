import type { HypervisorPlugin } from '@vbackup/core';
import { NBD_DESCRIPTION } from './description.js';

/** Exports of NBD servers. */
export const nbdPlugin: HypervisorPlugin = {
  ...NBD_DESCRIPTION,
  /** It has no parts to replace. */
  register() {},
  async connect(values, context) {
    const [{ NbdHypervisor }, { parseOptions }] = await Promise.all([
      import('./hypervisor.js'),
      import('./options.js'),
    ]);
    return new NbdHypervisor({
      options: parseOptions(values),
      warn: (warning) => context.onWarning?.(warning),
    });
  },
};
