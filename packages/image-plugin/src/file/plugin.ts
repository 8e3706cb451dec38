import type { HypervisorPlugin } from '@vbackup/core';
import { FileHypervisor } from './hypervisor.js';
import { FILE_OPTIONS, parseOptions } from './options.js';

/** Disk images and block devices of this machine. */
export const filePlugin: HypervisorPlugin = {
  name: 'file',
  description: 'disk images and block devices of this machine that nobody writes to: raw, qcow2, VHD, VHDX, VMDK, VDI',
  options: FILE_OPTIONS,
  /** It has no parts to replace: what touches the world are Node and the programs of QEMU. */
  register() {},
  async connect(values, context) {
    return new FileHypervisor({
      options: parseOptions(values),
      warn: (warning) => context.onWarning?.(warning),
    });
  },
};
