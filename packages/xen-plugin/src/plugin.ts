import type { ConnectContext, Hypervisor, HypervisorPlugin, OptionValues } from '@vbackup/core';
import { NbdClient } from '@vbackup/core/nbd/device';
import type { DependencyContainer } from 'tsyringe';
import { XEN_DESCRIPTION } from './description.js';
import { XenHypervisor } from './hypervisor.js';
import type { NbdOpener } from './nbd-opener.js';
import { OpenQueue } from './open-queue.js';
import { parseOptions } from './options.js';
import { Redactor } from './redactor.js';
import { XenSession } from './session.js';
import { NbdOpenerToken, OpenChangeTrackerToken, OpenXapiTransportToken } from './tokens.js';
import { CbtTracker, type OpenChangeTracker } from './tracker.js';
import { HttpsTransport } from './transport/https-transport.js';
import type { OpenXapiTransport } from './transport/transport.js';

/** XenServer and XCP-ng, by their XenAPI. */
export const xenPlugin: HypervisorPlugin = {
  ...XEN_DESCRIPTION,
  register,
  connect,
};

const openTransport: OpenXapiTransport = (endpoint, options) => new HttpsTransport(endpoint, options);
const openNbd: NbdOpener = (options) => NbdClient.connect(options);
const openTracker: OpenChangeTracker = (session) => new CbtTracker(session);

/** What a program registered before stays in place. */
function register(container: DependencyContainer): void {
  if (!container.isRegistered(OpenXapiTransportToken, true)) {
    container.register(OpenXapiTransportToken, { useValue: openTransport });
  }
  if (!container.isRegistered(OpenChangeTrackerToken, true)) {
    container.register(OpenChangeTrackerToken, { useValue: openTracker });
  }
  if (!container.isRegistered(NbdOpenerToken, true)) container.register(NbdOpenerToken, { useValue: openNbd });
}

async function connect(values: OptionValues, context: ConnectContext): Promise<Hypervisor> {
  const options = await parseOptions(values);
  const { container, signal } = context;
  const redactor = new Redactor();
  const session = await XenSession.login(
    { ...options, redactor, openTransport: container.resolve(OpenXapiTransportToken) },
    signal,
  );
  return new XenHypervisor({
    session,
    tracker: container.resolve(OpenChangeTrackerToken)(session),
    openNbd: container.resolve(NbdOpenerToken),
    openQueue: new OpenQueue(),
    insecureNbd: options.insecureNbd,
    nbdTimeoutMs: options.nbdTimeoutMs,
    warn: (warning) => context.onWarning?.(warning),
  });
}
