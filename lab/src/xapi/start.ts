import { type IssuedCertificate, selfSigned } from '../pki/index.js';
import { Dispatcher } from './dispatcher.js';
import { Faults } from './faults.js';
import { XapiHost } from './host.js';
import { furnish } from './inventory.js';
import { HttpsListener } from './listener.js';
import { Database } from './model/database.js';
import { Disks } from './model/disks.js';
import { Sessions } from './model/sessions.js';
import { Tasks } from './model/tasks.js';
import { listenNbd } from './nbd.js';
import type { HostState } from './state.js';

export interface XapiHostOptions {
  readonly user?: string;
  readonly password?: string;
  /** Default: a self-signed certificate for `hostname` and the address. */
  readonly identity?: IssuedCertificate;
  readonly hostname?: string;
  /** Default 127.0.0.1. */
  readonly address?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** What the network is for; default `nbd`, `none` switches NBD off. */
  readonly nbdPurpose?: 'nbd' | 'insecure_nbd' | 'none';
  /** Default 16, as on a host. */
  readonly nbdConnectionLimit?: number;
  /** How long `VDI.data_destroy` waits for VBDs; 4000 on a host, here 200 by default. */
  readonly dataDestroyWaitMs?: number;
  /** `VDI.create` rounds sizes up to a multiple of this; default 2 MiB, as a VHD needs it. */
  readonly sizeMultiple?: number;
}

const MIB = 2 ** 20;

/** Starts a host with one SR and no disks. */
export async function startXapiHost(options: XapiHostOptions = {}): Promise<XapiHost> {
  const address = options.address ?? '127.0.0.1';
  const hostname = options.hostname ?? 'xen1.lab';
  const identity = options.identity ?? (await selfSigned({ names: [hostname], addresses: [address] }));
  const db = new Database();
  const purpose = options.nbdPurpose ?? 'nbd';
  const inventory = furnish(db, { address, hostname, nbdPurpose: purpose === 'none' ? undefined : purpose });
  const state: HostState = {
    ...inventory,
    db,
    disks: new Disks(db),
    sessions: new Sessions(() => db.wake()),
    tasks: new Tasks(db, inventory.master.ref),
    faults: new Faults(),
    settings: {
      user: options.user ?? 'root',
      password: options.password ?? 'lab password',
      dataDestroyWaitMs: options.dataDestroyWaitMs ?? 200,
      sizeMultiple: options.sizeMultiple ?? 2 * MIB,
    },
    certificate: identity.certificate,
    nbdPort: undefined,
  };
  const shutdown = new AbortController();
  const nbd = await listenNbd({
    state,
    identity,
    address,
    connectionLimit: options.nbdConnectionLimit ?? 16,
    shutdown: shutdown.signal,
  });
  if (nbd.address.kind === 'tcp') state.nbdPort = nbd.address.port;
  const dispatcher = new Dispatcher(state);
  const https = await HttpsListener.listen({
    state,
    dispatcher,
    shutdown: shutdown.signal,
    identity,
    address,
    port: options.port ?? 0,
  });
  return new XapiHost({ state, dispatcher, shutdown, nbd, https, identity, address, network: inventory.network });
}
