import { type IssuedCertificate, selfSigned } from '../pki/index.js';
import type { XapiNbdServer } from '../xapi-nbd/index.js';
import type { Dispatcher } from './dispatcher.js';
import type { Faults } from './faults.js';
import { addMachine, addSr, type MachineOptions, type SrOptions } from './inventory.js';
import { type Leftovers, leftoversOf } from './leftovers.js';
import { HttpsListener } from './listener.js';
import { BlockMap } from './model/block-map.js';
import type { XenObject } from './model/xen-object.js';
import type { HostState } from './state.js';

export interface DiskOptions {
  /** Bytes, a multiple of 512. */
  readonly size: number;
  readonly label: string;
  /** Uuid of the SR; default: the first one. */
  readonly sr?: string;
}

const SECTOR_LENGTH = 512;
const DEFAULT_CAPACITY = 2 ** 44;

/** What a host consists of once it listens. */
export interface HostParts {
  readonly state: HostState;
  readonly dispatcher: Dispatcher;
  readonly shutdown: AbortController;
  readonly nbd: XapiNbdServer;
  readonly https: HttpsListener;
  readonly identity: IssuedCertificate;
  readonly address: string;
  readonly network: XenObject;
}

/** Another member of the pool: calls get HOST_IS_SLAVE with the master's address, disks are served as by the master. */
export interface PoolMember {
  readonly url: string;
  readonly address: string;
  readonly identity: IssuedCertificate;
}

/**
 * A XenServer / XCP-ng host that lives in this process: XML-RPC, JSON-RPC, raw VDI import and export over HTTPS, disks
 * over NBD. What a guest would do, `guestWrite` does; what a test wants to go wrong, `faults` says.
 */
export class XapiHost implements AsyncDisposable {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 of the certificate's DER form, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string;
  readonly faults: Faults;
  /** Uuid of the SR that is there from the beginning. */
  readonly sr: string;
  /** Uuid of the network that carries NBD. */
  readonly network: string;
  readonly #parts: HostParts;
  readonly #state: HostState;
  readonly #members: HttpsListener[] = [];

  constructor(parts: HostParts) {
    this.#parts = parts;
    this.#state = parts.state;
    this.url = parts.https.url;
    this.user = parts.state.settings.user;
    this.password = parts.state.settings.password;
    this.certificate = parts.identity.certificate;
    this.fingerprint = parts.identity.fingerprint;
    this.faults = parts.state.faults;
    this.network = parts.network.uuid;
    this.sr = this.addSr({ label: 'Local storage' });
    const sr = this.#state.db.byUuid('SR', this.sr);
    this.#state.db.update(this.#state.pool, { default_SR: sr.ref });
  }

  /** Names of all calls so far, in order, `Async.` included. Never their parameters. */
  get calls(): readonly string[] {
    return this.#parts.dispatcher.calls;
  }

  /** What nobody may ever find in what a client writes: the password, and the reference of every session so far. */
  get secrets(): readonly string[] {
    return [this.password, ...this.#state.sessions.opened];
  }

  /** Hears the name of every call before the call does anything: the moment to kill a client, or to write. */
  onCall(listener: ((method: string) => void) | undefined): void {
    this.#parts.dispatcher.onCall = listener;
  }

  /** Connections of NBD that are open now. */
  get nbdConnections(): number {
    return this.#parts.nbd.connections;
  }

  /** Port of the NBD server. */
  get nbdPort(): number {
    return this.#state.nbdPort ?? 0;
  }

  /** The record of an object, for assertions. */
  record(className: 'VDI' | 'VM' | 'SR' | 'network', uuid: string): ReturnType<XenObject['record']> {
    return this.#state.db.byUuid(className, uuid).record();
  }

  /** The records of all objects of a class. */
  records(className: 'VDI' | 'VM' | 'VBD' | 'task' | 'message'): ReturnType<XenObject['record']>[] {
    return this.#state.db.all(className).map((object) => object.record());
  }

  /** Adds a storage repository; returns its uuid. */
  addSr(options: Partial<SrOptions> & { readonly label: string }): string {
    const defaults = { type: 'ext', cbt: true, capacity: DEFAULT_CAPACITY };
    return addSr(this.#state.db, this.#state.master, { ...defaults, ...options }).uuid;
  }

  /** Adds an empty disk; returns its uuid. */
  addDisk({ size, label, sr = this.sr }: DiskOptions): string {
    if (size % SECTOR_LENGTH !== 0) throw new RangeError(`a disk has whole sectors, not ${size} bytes`);
    const { ref } = this.#state.db.byUuid('SR', sr);
    return this.#state.disks.create({ name_label: label, SR: ref }, new BlockMap(size)).uuid;
  }

  /** Adds a machine; returns its uuid. */
  addMachine(options: MachineOptions): string {
    return addMachine(this.#state.db, this.#state.master, options).uuid;
  }

  /** What a guest writes: it changes the disk and marks it as changed. */
  guestWrite(vdi: string, offset: number, bytes: Uint8Array): void {
    this.#state.disks.write(this.#vdi(vdi), offset, bytes);
  }

  /** What somebody writes past the host's change tracking: the disk changes, and nothing marks it. */
  untrackedWrite(vdi: string, offset: number, bytes: Uint8Array): void {
    this.#state.disks.content(this.#vdi(vdi)).write(offset, bytes);
  }

  /** As {@link guestWrite}, zeros. */
  guestZero(vdi: string, offset: number, length: number): void {
    this.#state.disks.zero(this.#vdi(vdi), offset, length);
  }

  guestRead(vdi: string, offset: number, length: number): Buffer {
    const target = Buffer.alloc(length);
    this.#state.disks.content(this.#vdi(vdi)).read(offset, target);
    return target;
  }

  /** SHA-256 of the whole disk as it is now, in hexadecimal. */
  async digest(vdi: string): Promise<string> {
    return await this.#state.disks.content(this.#vdi(vdi)).digest();
  }

  /** The guest's disk grows. */
  grow(vdi: string, size: number): void {
    this.#state.disks.grow(this.#vdi(vdi), size);
  }

  /** Somebody destroys a disk or a snapshot. */
  destroyDisk(vdi: string): void {
    this.#state.disks.destroy(this.#vdi(vdi));
  }

  /** The host crashes and is there again: logs of live disks are lost, so is every session. */
  crash(): void {
    this.#state.disks.crash();
    this.#state.sessions.expireAll();
    this.#parts.https.cutConnections();
    this.#parts.nbd.cutConnections();
  }

  /** Every session is invalid from now on, as after a restart of xapi. */
  expireSessions(): void {
    this.#state.sessions.expireAll();
  }

  /** Somebody else answers at the host's address from now on: HTTPS shows another certificate, old connections are cut. */
  impersonate(identity: IssuedCertificate): void {
    this.#parts.https.showCertificate(identity);
    this.#parts.https.cutConnections();
  }

  /** Cuts all connections of HTTPS and NBD. */
  cutConnections(): void {
    this.#parts.https.cutConnections();
    this.#parts.nbd.cutConnections();
  }

  /** What clients left on the host. */
  leftovers(): Leftovers {
    return leftoversOf(this.#state);
  }

  /** Starts a member of the pool at another loopback address (default 127.0.0.2), on the same port. */
  async addMember(address = '127.0.0.2'): Promise<PoolMember> {
    const { state, dispatcher, shutdown, https } = this.#parts;
    const hostname = `xen${this.#members.length + 2}.lab`;
    const identity = await selfSigned({ names: [hostname], addresses: [address] });
    state.db.create('host', { name_label: hostname, hostname, address, enabled: true });
    const listener = await HttpsListener.listen({
      state,
      dispatcher,
      shutdown: shutdown.signal,
      identity,
      address,
      port: https.port,
      masterAddress: this.#parts.address,
    });
    this.#members.push(listener);
    return { url: listener.url, address, identity };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.shutdown.abort();
    for (const listener of [this.#parts.https, ...this.#members]) await listener[Symbol.asyncDispose]();
    await this.#parts.nbd.close();
  }

  #vdi(uuid: string): XenObject {
    return this.#state.db.byUuid('VDI', uuid);
  }
}
