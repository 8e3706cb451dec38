import type { HypervisorPlugin } from '@vbackup/core';
import { FILE_DESCRIPTION } from './description.js';

/** Disk images and block devices of this machine. */
export const filePlugin: HypervisorPlugin = {
  ...FILE_DESCRIPTION,
  /** It has no parts to replace: what touches the world are Node and the programs of QEMU. */
  register() {},
  async connect(values, context) {
    const [{ FileHypervisor }, { parseOptions }] = await Promise.all([
      import('./hypervisor.js'),
      import('./options.js'),
    ]);
    return new FileHypervisor({
      options: parseOptions(values),
      warn: (warning) => context.onWarning?.(warning),
    });
  },
};
