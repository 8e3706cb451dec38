import type { GuestImage } from './guest-image.js';

/** What a lab's domain is made of. */
export interface LabDomainOptions {
  /** Default `vbtest`. */
  readonly name?: string;
  /**
   * `agent` (default): Linux with a real qemu-guest-agent, which makes a file system on vda and mounts it at /mnt; boots in
   * some seconds. `seabios`: firmware that finds nothing to boot, up at once.
   */
  readonly guest?: 'agent' | 'seabios';
  /** Default: vda with 64 MiB and vdb with 32 MiB, qcow2. */
  readonly disks?: readonly LabDiskOptions[];
  /** Added to the kernel's command line: `vbwriter` makes the guest write without end. */
  readonly commandLine?: string;
  /** More elements of `<devices>`. */
  readonly devices?: string;
  /** Without a channel for the agent. */
  readonly withoutAgentChannel?: boolean;
  /** With a monitor of QEMU's own for the test, which does not need libvirtd: `LabDomain.monitor()`. */
  readonly monitor?: boolean;
}

export interface LabDiskOptions {
  /** `vda` and so on on virtio, `sda` on SCSI. */
  readonly target: string;
  /** Bytes; the image is made new. Default 64 MiB. */
  readonly size?: number;
  /** Default qcow2. */
  readonly format?: 'qcow2' | 'raw';
  /** For `qemu-img create -o`, e.g. `cluster_size=4096`. */
  readonly createOptions?: string;
  /** An image that exists already; it is used where it lies. */
  readonly path?: string;
  readonly device?: 'disk' | 'cdrom';
  readonly readOnly?: boolean;
}

/** A disk of a defined domain. */
export interface LabDisk {
  readonly target: string;
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly device: 'disk' | 'cdrom';
  readonly readOnly: boolean;
}

export const MiB = 1024 * 1024;

export const DEFAULT_DISKS: readonly LabDiskOptions[] = [
  { target: 'vda', size: 64 * MiB },
  { target: 'vdb', size: 32 * MiB },
];

export interface DomainXmlParts {
  readonly name: string;
  readonly uuid: string;
  readonly image: GuestImage | null;
  readonly commandLine: string;
  readonly disks: readonly LabDisk[];
  readonly serialLog: string;
  readonly agentChannel: boolean;
  readonly devices: string;
  /** A second monitor's socket; null for none. */
  readonly monitor: string | null;
}

/** TCG, always: a stock kernel hangs under some nested KVMs, and the lab must be the same everywhere. */
export function labDomainXml(parts: DomainXmlParts): string {
  const { name, uuid, disks, serialLog } = parts;
  const scsi = disks.some(({ target }) => target.startsWith('sd'));
  return `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>192</memory><vcpu>1</vcpu>
 <os><type arch='x86_64' machine='pc'>hvm</type>${bootXml(parts)}</os><features><acpi/></features>
 <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
${disks.map(diskXml).join('\n')}
  ${scsi ? "<controller type='scsi' model='virtio-scsi'/>" : ''}
  <controller type='usb' model='none'/><memballoon model='none'/>
  <serial type='file'><source path='${serialLog}'/></serial>
  ${parts.agentChannel ? "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>" : ''}
  ${parts.devices}
 </devices>${monitorXml(parts)}</domain>`;
}

function monitorXml({ monitor }: DomainXmlParts): string {
  if (monitor === null) return '';
  const args = ['-qmp', `unix:${monitor},server=on,wait=off`];
  return `<qemu:commandline>${args.map((arg) => `<qemu:arg value='${arg}'/>`).join('')}</qemu:commandline>`;
}

function bootXml({ image, commandLine }: DomainXmlParts): string {
  if (image === null) return '';
  const line = `console=ttyS0 quiet ${commandLine}`.trim();
  return `<kernel>${image.kernel}</kernel><initrd>${image.initrd}</initrd><cmdline>${line}</cmdline>`;
}

function diskXml(disk: LabDisk): string {
  const bus = disk.target.startsWith('sd') ? 'scsi' : 'virtio';
  const discard = disk.device === 'disk' ? " discard='unmap'" : '';
  return `  <disk type='file' device='${disk.device}'><driver name='qemu' type='${disk.format}'${discard}/>\
<source file='${disk.path}'/><target dev='${disk.target}' bus='${bus}'/>${disk.readOnly ? '<readonly/>' : ''}</disk>`;
}
