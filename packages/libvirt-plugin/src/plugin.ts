import type { ConnectContext, Hypervisor, HypervisorPlugin, OptionValues } from '@vbackup/core';
import { NbdClient } from '@vbackup/core/nbd/device';
import type { DependencyContainer } from 'tsyringe';
import {
  type ExportOpener,
  ExportOpenerToken,
  ImageToolsToken,
  LibvirtHypervisor,
  LibvirtLink,
  qemuImageTools,
} from './backup/index.js';
import { OpenLibvirtToken } from './connection/index.js';
import { LIBVIRT_DESCRIPTION } from './description.js';
import { parseOptions } from './options.js';
import { openLibvirt } from './process/index.js';

/** libvirt and QEMU: backup jobs in pull mode, with checkpoints. */
export const libvirtPlugin: HypervisorPlugin = {
  ...LIBVIRT_DESCRIPTION,
  register,
  connect,
};

const openExport: ExportOpener = (options) => NbdClient.connect(options);

/** What a program registered before stays in place. */
function register(container: DependencyContainer): void {
  if (!container.isRegistered(OpenLibvirtToken, true)) container.register(OpenLibvirtToken, { useValue: openLibvirt });
  if (!container.isRegistered(ExportOpenerToken, true)) container.register(ExportOpenerToken, { useValue: openExport });
  if (!container.isRegistered(ImageToolsToken, true)) container.register(ImageToolsToken, { useValue: qemuImageTools });
}

async function connect(values: OptionValues, { container, signal, onWarning }: ConnectContext): Promise<Hypervisor> {
  const options = parseOptions(values);
  const { uri, user, password } = options;
  const openConnection = container.resolve(OpenLibvirtToken);
  const first = await openConnection({ uri, user, password, signal });
  return new LibvirtHypervisor({
    // A later connection has to clean up also where the user's signal was raised.
    link: new LibvirtLink(() => openConnection({ uri, user, password }), first),
    openExport: container.resolve(ExportOpenerToken),
    images: container.resolve(ImageToolsToken),
    options,
    warn: (warning) => onWarning?.(warning),
  });
}
