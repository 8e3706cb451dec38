import { type HypervisorPlugin, UnsupportedError } from '@vbackup/core';

/** Being written. */
export const filePlugin: HypervisorPlugin = {
  name: 'file',
  description: '',
  options: {},
  register() {},
  /** @throws UnsupportedError VB_UNSUPPORTED for now */
  async connect() {
    throw new UnsupportedError('VB_UNSUPPORTED', 'this version of vbackup cannot do that yet');
  },
};
