import { attributeOf, buildXml, childOf, childrenOf, parseXml, type XmlElement } from '../xml/index.js';

/** Where QEMU offers the frozen disks. */
export type JobServer =
  | { readonly kind: 'unix'; readonly socket: string }
  /** The address that QEMU listens on. With TLS it asks for a client's certificate unless qemu.conf says otherwise. */
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: boolean };

export interface JobDisk {
  /** Target name; the export is called the same. */
  readonly target: string;
  /** A file that is not there yet. What the guest overwrites during the job is kept there. */
  readonly scratch: string;
  /** The checkpoint since which changes are asked for; null for a disk that is read in full. */
  readonly since: string | null;
}

export interface JobPlan {
  readonly server: JobServer;
  readonly disks: readonly JobDisk[];
  /** Target names of the domain's other disks. */
  readonly leftOut: readonly string[];
}

/** `<domainbackup>` of a pull backup (formatbackup.html). */
export function jobXml({ server, disks, leftOut }: JobPlan): string {
  return buildXml({
    name: 'domainbackup',
    attributes: { mode: 'pull' },
    children: [
      serverElement(server),
      { name: 'disks', children: [...disks.map((disk) => diskElement(disk)), ...leftOut.map((each) => without(each))] },
    ],
  });
}

function serverElement(server: JobServer): XmlElement {
  const attributes =
    server.kind === 'unix'
      ? { transport: 'unix', socket: server.socket }
      : { transport: 'tcp', tls: server.tls ? 'yes' : 'no', name: server.host, port: String(server.port) };
  return { name: 'server', attributes };
}

const diskElement = ({ target, scratch, since }: JobDisk): XmlElement => ({
  name: 'disk',
  attributes: {
    name: target,
    backup: 'yes',
    type: 'file',
    exportname: target,
    backupmode: since === null ? 'full' : 'incremental',
    incremental: since ?? undefined,
    exportbitmap: since === null ? undefined : bitmapName(target),
  },
  children: [{ name: 'scratch', attributes: { file: scratch } }],
});

const without = (target: string): XmlElement => ({ name: 'disk', attributes: { name: target, backup: 'no' } });

const bitmapName = (target: string): string => `backup-${target}`;

/** The NBD meta context that says which blocks of an export are dirty (QEMU's docs/interop/nbd.txt). */
export const dirtyContext = (target: string): string => `qemu:dirty-bitmap:${bitmapName(target)}`;

/** A job that runs, as libvirt tells it. */
export interface RunningJob {
  /** The unix socket; null for TCP. */
  readonly socket: string | null;
  readonly scratches: readonly string[];
}

/** @throws VBackupError VB_LIBVIRT_XML */
export function parseJob(text: string): RunningJob {
  const root = parseXml(text, 'domainbackup');
  const scratches = childrenOf(childOf(root, 'disks'), 'disk').flatMap((disk) => {
    const file = attributeOf(childOf(disk, 'scratch'), 'file');
    return file === null ? [] : [file];
  });
  return { socket: attributeOf(childOf(root, 'server'), 'socket'), scratches };
}
