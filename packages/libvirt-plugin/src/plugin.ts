import { type HypervisorPlugin, UnsupportedError } from '@vbackup/core';
import { OpenLibvirtToken } from './connection/index.js';
import { openLibvirt } from './process/index.js';

/**
 * The place of libvirt and QEMU. It has a name, its option and a way to speak to libvirt, and refuses to connect: it cannot
 * make backups yet.
 */
export const libvirtPlugin: HypervisorPlugin = {
  name: 'libvirt',
  description: 'libvirt and QEMU (not implemented yet)',
  options: {
    uri: { type: 'string', description: 'connection URI, as virsh takes it', placeholder: 'URI' },
  },
  register(container) {
    // What a program registered before stays in place.
    if (!container.isRegistered(OpenLibvirtToken, true))
      container.register(OpenLibvirtToken, { useValue: openLibvirt });
  },
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
