import { type HypervisorPlugin, UnsupportedError } from '@vbackup/core';

/** The place of libvirt and QEMU. It has a name and its option, and refuses to connect: there is no code behind it. */
export const libvirtPlugin: HypervisorPlugin = {
  name: 'libvirt',
  description: 'libvirt and QEMU (not implemented yet)',
  options: {
    uri: { type: 'string', description: 'connection URI, as virsh takes it', placeholder: 'URI' },
  },
  register() {},
  /** @throws UnsupportedError VB_LIBVIRT_NOT_IMPLEMENTED always */
  async connect() {
    throw new UnsupportedError(
      'VB_LIBVIRT_NOT_IMPLEMENTED',
      'this version of vbackup cannot back up libvirt guests yet',
      {
        cure: 'use virtnbdbackup for now; its backups stay readable',
      },
    );
  },
};
