import type { LibvirtConnection, OpenLibvirtOptions } from '../connection/index.js';
import { calls } from '../wire/index.js';
import { ChildConnection } from './child-connection.js';
import { LibvirtProcess } from './libvirt-process.js';

const OPEN_TIMEOUT_MS = 30_000;
const CALL_TIMEOUT_MS = 60_000;

export interface OpenInChildOptions extends OpenLibvirtOptions {
  /** Instead of the system's libvirt. */
  readonly library?: string | undefined;
  /** Instead of the module with libvirt in it. */
  readonly module?: URL | undefined;
}

/** The {@link OpenLibvirt} that vbackup uses: libvirt's own library, in a process of its own. */
export async function openLibvirt(options: OpenInChildOptions): Promise<LibvirtConnection> {
  const { uri, readOnly, user, password, library, module, signal } = options;
  signal?.throwIfAborted();
  const process = new LibvirtProcess({ module, callTimeoutMs: options.callTimeoutMs ?? CALL_TIMEOUT_MS });
  try {
    const timeoutMs = options.openTimeoutMs ?? OPEN_TIMEOUT_MS;
    await process.ask(calls.open, { uri, readOnly, user, password, library }, { signal, timeoutMs });
    return new ChildConnection(process);
  } catch (error) {
    await process.kill();
    throw error;
  }
}
