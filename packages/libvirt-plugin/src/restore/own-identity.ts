import { basename, join } from 'node:path';
import type { Element } from '@xmldom/xmldom';
import { attributeOf, childOf, childrenOf, removeChildren, setText, textOf } from '../xml/index.js';

export interface OwnIdentity {
  readonly uuid: string;
  readonly name: string;
  /** Where files go that only one domain can write to. */
  readonly folder: string;
}

const CHARACTER_DEVICES = ['serial', 'parallel', 'console', 'channel'] as const;

/**
 * Makes a domain one that can run beside the one that it is a copy of: what only one of them can have is taken away, so that
 * libvirt gives it another, or gets a new place.
 * @returns what the user should know
 */
export function giveIdentity(root: Element, { uuid, name, folder }: OwnIdentity): readonly string[] {
  const nameElement = childOf(root, 'name');
  if (nameElement !== undefined) setText(nameElement, name);
  const uuidElement = childOf(root, 'uuid');
  if (uuidElement !== undefined) setText(uuidElement, uuid);
  // libvirt refuses a machine whose firmware tells another uuid.
  for (const entry of childrenOf(childOf(root, 'sysinfo', 'system'), 'entry')) {
    if (attributeOf(entry, 'name') === 'uuid') setText(entry, uuid);
  }
  const devices = childOf(root, 'devices');
  for (const card of childrenOf(devices, 'interface')) freeInterface(card);
  for (const kind of CHARACTER_DEVICES) {
    for (const device of childrenOf(devices, kind)) movePath(device, { name, folder });
  }
  for (const screen of childrenOf(devices, 'graphics')) {
    screen.removeAttribute('socket');
    freePorts(screen);
    for (const listen of childrenOf(screen, 'listen')) listen.removeAttribute('socket');
  }
  for (const cid of childrenOf(childOf(devices, 'vsock'), 'cid')) {
    cid.removeAttribute('address');
    cid.setAttribute('auto', 'yes');
  }
  for (const store of childrenOf(devices, 'pstore')) removeChildren(store, 'path');
  return dropFileMemory(devices);
}

/** A port that the user chose is in use as long as the other domain runs. */
function freePorts(screen: Element): void {
  const ports = ['port', 'tlsPort', 'websocket'].filter((port) => screen.hasAttribute(port));
  for (const port of ports) screen.removeAttribute(port);
  if (ports.length > 0) screen.setAttribute('autoport', 'yes');
}

/** Memory that is a file, as of an NVDIMM: two domains would write to one. */
function dropFileMemory(devices: Element | undefined): readonly string[] {
  return childrenOf(devices, 'memory').flatMap((memory) => {
    const path = textOf(childOf(memory, 'source', 'path'));
    if (path === null) return [];
    devices?.removeChild(memory);
    return [`the memory in ${path} is not in the backup, and not part of the new domain`];
  });
}

/** libvirt makes a new address, a new device on the host, and new ports of the switch. */
function freeInterface(card: Element): void {
  removeChildren(card, 'mac');
  childOf(card, 'target')?.removeAttribute('dev');
  childOf(card, 'source')?.removeAttribute('portid');
  const parameters = childOf(card, 'virtualport', 'parameters');
  parameters?.removeAttribute('interfaceid');
  parameters?.removeAttribute('instanceid');
}

/** A socket that QEMU makes is called by libvirt; what is written to a file goes to one beside the disks. */
function movePath(device: Element, { name, folder }: Pick<OwnIdentity, 'name' | 'folder'>): void {
  const source = childOf(device, 'source');
  const path = attributeOf(source, 'path');
  const type = attributeOf(device, 'type');
  if (type === 'unix' && attributeOf(source, 'mode') !== 'connect') {
    // Only for channels of virtio does libvirt make a name.
    if (device.tagName === 'channel') removeChildren(device, 'source');
    else if (path !== null) source?.setAttribute('path', join(folder, `${name}-${basename(path)}`));
  }
  if (type === 'file' && path !== null) source?.setAttribute('path', join(folder, `${name}-${basename(path)}`));
  const log = childOf(device, 'log');
  const logged = attributeOf(log, 'file');
  if (logged !== null) log?.setAttribute('file', join(folder, `${name}-${basename(logged)}`));
}
