import type { Element } from '@xmldom/xmldom';
import { attributeOf, childOf, childrenOf, parseXml, textOf } from '../xml/index.js';

/** What the XML of a domain says, as far as a backup needs it (formatdomain.html). */
export interface DomainDescription {
  readonly name: string;
  readonly uuid: string;
  readonly disks: readonly DomainDisk[];
  readonly bootFiles: readonly BootFile[];
  /** The path of QEMU; null where libvirt chooses it. */
  readonly emulator: string | null;
}

/** A file on the host that the domain starts from. */
export interface BootFile {
  readonly kind: (typeof BOOT_FILES)[number];
  readonly path: string;
}

export interface DomainDisk {
  /** How libvirt names it towards the guest: `vda`. */
  readonly target: string;
  readonly bus: string | null;
  readonly device: 'disk' | 'cdrom' | 'floppy' | 'lun' | 'unknown';
  readonly image: DiskImage;
  /** The images that it stands on, the nearest first. Only the XML of a domain that runs tells them. */
  readonly backingChain: readonly DiskImage[];
  readonly readOnly: boolean;
  /** Other domains may write to it at the same time. */
  readonly shareable: boolean;
  /** What the guest writes is thrown away when it stops. */
  readonly transient: boolean;
  /** A block job is moving it to another image. */
  readonly mirrored: boolean;
  /** Why only libvirt can present the image as the guest sees it; null if it is what its format says. */
  readonly disguise: string | null;
}

export interface DiskImage {
  /** `file`, `block`, `network`, `volume`, `dir`, `nvme`, `vhostuser`, `vhostvdpa`. */
  readonly type: string;
  /** QEMU's name of the format; null where nothing is said, which libvirt takes for raw. */
  readonly format: string | null;
  /** The path, or for people `protocol:name` or `pool/volume`; null for a drive without a medium. */
  readonly source: string | null;
}

/** So many images may stand on each other; libvirt itself stops at 200. */
const MAX_CHAIN_LENGTH = 200;

/** @throws VBackupError VB_LIBVIRT_XML */
export function parseDomain(text: string): DomainDescription {
  const root = parseXml(text, 'domain');
  const devices = childOf(root, 'devices');
  return {
    name: textOf(childOf(root, 'name')) ?? '',
    uuid: textOf(childOf(root, 'uuid')) ?? '',
    disks: childrenOf(devices, 'disk').flatMap((disk) => diskOf(disk)),
    bootFiles: bootFilesOf(childOf(root, 'os')),
    emulator: textOf(childOf(devices, 'emulator')),
  };
}

function diskOf(element: Element): DomainDisk[] {
  const target = attributeOf(childOf(element, 'target'), 'dev');
  // Every disk has one; without it no call could name the disk.
  if (target === null) return [];
  return [
    {
      target,
      bus: attributeOf(childOf(element, 'target'), 'bus'),
      device: deviceOf(attributeOf(element, 'device') ?? 'disk'),
      image: imageOf(element, attributeOf(childOf(element, 'driver'), 'type')),
      backingChain: chainOf(element),
      readOnly: childOf(element, 'readonly') !== undefined,
      shareable: childOf(element, 'shareable') !== undefined,
      transient: childOf(element, 'transient') !== undefined,
      mirrored: childOf(element, 'mirror') !== undefined,
      disguise: disguiseOf(element),
    },
  ];
}

/** The image is not what the guest sees: libvirt decrypts it, or shows a part of it. */
function disguiseOf(disk: Element): string | null {
  const source = childOf(disk, 'source');
  if ((childOf(disk, 'encryption') ?? childOf(source, 'encryption')) !== undefined) return 'it is encrypted';
  return childOf(source, 'slices') === undefined ? null : 'it is a part of its image (<slices>)';
}

const DEVICES = ['disk', 'cdrom', 'floppy', 'lun'] as const;

const deviceOf = (device: string): DomainDisk['device'] => DEVICES.find((known) => known === device) ?? 'unknown';

function imageOf(element: Element, format: string | null): DiskImage {
  const type = attributeOf(element, 'type') ?? 'file';
  return { type, format, source: sourceOf(childOf(element, 'source'), type) };
}

function sourceOf(source: Element | undefined, type: string): string | null {
  if (source === undefined) return null;
  const of = (name: string): string | null => attributeOf(source, name);
  switch (type) {
    case 'file':
      return of('file');
    case 'block':
    case 'vhostvdpa':
      return of('dev');
    case 'dir':
      return of('dir');
    case 'volume':
      return of('volume') === null ? null : `${of('pool') ?? ''}/${of('volume') ?? ''}`;
    case 'network':
      return `${of('protocol') ?? ''}:${of('name') ?? ''}`;
    case 'nvme':
      return `namespace ${of('namespace') ?? ''}`;
    default:
      return of('path') ?? type;
  }
}

/** `<backingStore>` within `<backingStore>`; an empty one ends the chain. */
function chainOf(disk: Element): readonly DiskImage[] {
  const chain: DiskImage[] = [];
  let store = childOf(disk, 'backingStore');
  while (store !== undefined && attributeOf(store, 'type') !== null && chain.length < MAX_CHAIN_LENGTH) {
    chain.push(imageOf(store, attributeOf(childOf(store, 'format'), 'type')));
    store = childOf(store, 'backingStore');
  }
  return chain;
}

/** Elements of `<os>` that name a file on the host. */
export const BOOT_FILES = ['loader', 'nvram', 'kernel', 'initrd', 'dtb'] as const;

function bootFilesOf(os: Element | undefined): readonly BootFile[] {
  return BOOT_FILES.flatMap((kind) => {
    const element = childOf(os, kind);
    // Newer libvirt can keep the variables on a block or network device: <nvram type='…'><source …/>.
    const path = textOf(element) ?? attributeOf(childOf(element, 'source'), 'file');
    return path === null ? [] : [{ kind, path }];
  });
}
