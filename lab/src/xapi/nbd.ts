import { setTimeout } from 'node:timers/promises';
import { type XapiNbdDisk, type XapiNbdIdentity, type XapiNbdMode, XapiNbdServer } from '../xapi-nbd/index.js';
import type { XenObject } from './model/xen-object.js';
import type { HostState } from './state.js';

export interface HostNbdOptions {
  readonly state: HostState;
  readonly identity: XapiNbdIdentity;
  readonly address: string;
  readonly connectionLimit: number;
  readonly shutdown: AbortSignal;
}

/** The NBD server in front of the host's disks: export names carry the session, networks decide about TLS. */
export async function listenNbd(options: HostNbdOptions): Promise<XapiNbdServer> {
  const { state } = options;
  return await XapiNbdServer.listen({
    ...options.identity,
    address: { kind: 'tcp', host: options.address, port: 0 },
    connectionLimit: options.connectionLimit,
    mode: () => modeOf(state),
    open: (exportName) => Promise.resolve(open(options, exportName)),
    onRead: (read) => state.faults.nbd.onRead?.(read),
    presentIdentity: () => state.faults.nbd.identity,
  });
}

/** Both purposes or none: the connection is dropped (xapi-nbd, main.ml). */
function modeOf(state: HostState): XapiNbdMode {
  const purposes = new Set(state.db.all('network').flatMap((network) => network.list('purpose')));
  const [secure, insecure] = [purposes.has('nbd'), purposes.has('insecure_nbd')];
  if (secure === insecure) return 'refuse';
  return secure ? 'forcedtls' : 'notls';
}

/** Plugs the disk into dom0 for as long as the connection lives, and a little longer. */
function open({ state, shutdown }: HostNbdOptions, exportName: string): XapiNbdDisk | null {
  const [, uuid, session] = /^\/([^?]+)\?session_id=(.+)$/.exec(exportName) ?? [];
  if (uuid === undefined || session === undefined || !state.sessions.has(session)) return null;
  const vdi = state.db.all('VDI').find((candidate) => candidate.uuid === uuid);
  if (vdi === undefined || vdi.text('type') === 'cbt_metadata') return null;
  const content = state.disks.content(vdi);
  const vbd = plug(state, vdi);
  return {
    size: content.size,
    read: (offset, target) => Promise.resolve(content.read(offset, target)),
    close: () => {
      void unplug(state, vbd, shutdown);
      return Promise.resolve();
    },
  };
}

function plug(state: HostState, vdi: XenObject): XenObject {
  return state.db.create('VBD', {
    VM: state.controlDomain.ref,
    VDI: vdi.ref,
    mode: 'RO',
    type: 'Disk',
    userdevice: 'autodetect',
    currently_attached: true,
    other_config: { 'xapi-nbd': 'true' },
  });
}

async function unplug(state: HostState, vbd: XenObject, shutdown: AbortSignal): Promise<void> {
  // A host that stops has unplugged everything.
  await setTimeout(state.faults.nbd.unplugDelayMs, undefined, { signal: shutdown }).catch(() => undefined);
  state.db.remove(vbd);
}
