import type { BlockReader, NbdConnectOptions, OpenDiskOptions } from '@vbackup/core';
import { abortError, VBackupError } from '@vbackup/core/errors';
import type { XenContext } from './context.js';
import { messageOf } from './errors.js';
import { insecureNbd, nbdEncryption, nbdRecords } from './nbd-access.js';
import type { NbdInfo } from './records.js';

/** xapi's server ends the session on a request that is not aligned so, and says so nowhere. */
export const NBD_ALIGNMENT = 512;
/** The server plugs the disk into its own domain before it answers: seconds, or longer on iSCSI. */
const HANDSHAKE_TIMEOUT_MS = 120_000;
/** Beyond that the disk is opened anew, with a fresh export name and perhaps by another host. */
const RECONNECTS = 2;
/** The server takes 16 connections per host, and others want some too. */
const MAXIMUM_CONNECTIONS = 8;

/**
 * Opens a snapshot by the first of its records that works: a host of the pool may be unreachable, or its IPv6 address
 * lead nowhere.
 * @throws VBackupError VB_XEN_NBD_UNREACHABLE, VB_XEN_NBD_CERTIFICATE, VB_XEN_NBD_INSECURE
 */
export async function connectNbd(
  context: XenContext,
  snapshot: { readonly reference: string; readonly uuid: string },
  options: OpenDiskOptions,
): Promise<BlockReader> {
  const { signal } = options;
  const records = await nbdRecords(context.session, snapshot.reference, { signal });
  const encryption = await nbdEncryption(context.session, { signal });
  if (encryption === 'none' && !context.insecureNbd) throw insecureNbd();
  for (const { exportname } of records) context.session.redactor.add(exportname, 'export');
  const failures: Failure[] = [];
  for (const record of records) {
    try {
      return await context.openNbd(connectOptions(context, { record, encryption }, options));
    } catch (error) {
      if (options.signal?.aborted === true) throw abortError(options.signal);
      const { address, port } = record;
      failures.push({ error, text: `${address} port ${port}: ${context.session.redactor.clean(messageOf(error))}` });
    }
  }
  throw unreachable(snapshot.uuid, failures);
}

interface Failure {
  readonly error: unknown;
  readonly text: string;
}

/** A host that shows a foreign certificate matters more than another one that does not answer. */
function unreachable(uuid: string, failures: readonly Failure[]): VBackupError {
  const tried = failures.length === 0 ? 'the pool offers no address' : failures.map(({ text }) => text).join('; ');
  const message = `snapshot ${uuid} cannot be opened over NBD: ${tried}`;
  if (failures.some(({ error }) => error instanceof VBackupError && error.code === 'VB_NBD_CERTIFICATE')) {
    return new VBackupError('VB_XEN_NBD_CERTIFICATE', message, {
      cure: 'if the certificate of the host was renewed, restart its NBD server (systemctl restart xapi-nbd); otherwise find out who answers in its place',
    });
  }
  return new VBackupError('VB_XEN_NBD_UNREACHABLE', message, {
    cure: 'check that port 10809 of the hosts is reachable from here; a network takes some seconds after its purpose was set',
  });
}

function connectOptions(
  context: XenContext,
  { record, encryption }: { readonly record: NbdInfo; readonly encryption: 'tls' | 'none' },
  options: OpenDiskOptions,
): NbdConnectOptions {
  const tls = { kind: 'pinned', certificate: record.cert, hostname: record.subject } as const;
  return {
    address: { kind: 'tcp', host: addressOf(record), port: record.port },
    exportName: record.exportname,
    secretExportName: true,
    ...(encryption === 'tls' ? { tls } : {}),
    connections: Math.min(Math.max(options.connections, 1), MAXIMUM_CONNECTIONS),
    // A snapshot does not change, so that all connections see the same, whatever the server announces.
    assumeMultiConn: true,
    metaContexts: [],
    minimumAlignment: NBD_ALIGNMENT,
    handshakeTimeoutMs: HANDSHAKE_TIMEOUT_MS,
    requestTimeoutMs: context.nbdTimeoutMs,
    reconnects: RECONNECTS,
    signal: options.signal,
  };
}

/** xapi writes an IPv6 address as it stands in the PIF, with the length of its prefix; older ones add brackets. */
export function addressOf({ address }: Pick<NbdInfo, 'address'>): string {
  return address.replace(/^\[(.*)\]$/, '$1').replace(/\/\d+$/, '');
}
