import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { Hypervisor, JoinedSource } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { EXIT } from '../../exit-codes.js';
import { isNbdUri } from '../../subject.js';
import { usageError } from '../../usage.js';
import { ArchiveShelf } from '../../vma/archive-devices.js';
import { archiveNotes } from '../../vma/archive-notes.js';
import { ARCHIVE_FORMAT, type DeviceSource, deviceSources } from '../../vma/device-source.js';
import { readConfigs } from '../../vma/read-configs.js';
import { writeArchiveTo } from '../../vma/write-archive-to.js';
import type { CommandContext, Outcome } from '../command.js';

/** Makes an archive of disk images, devices, NBD exports and devices of other archives. */
export async function vmaCreate(context: CommandContext): Promise<Outcome> {
  const { invocation, world } = context;
  const [target] = invocation.operands;
  if (target === undefined) throw usageError('no archive was named');
  const devices = deviceSources(invocation.options.texts('device'), world.cwd);
  if (devices.length === 0) throw usageError('no device was named', 'name one: --device drive-scsi0=disk.raw');
  const configuration = await readConfigs(context);
  const { JoinedHypervisor, plainShape } = await import('@vbackup/core/backup/archive/write');
  const path = target === '-' ? '-' : resolve(world.cwd, target);
  await using shelf = new ArchiveShelf(context, path === '-' ? tmpdir() : dirname(path));
  const connections: Hypervisor[] = [];
  try {
    const sources: JoinedSource[] = [];
    for (const device of devices) {
      const found =
        device.format === ARCHIVE_FORMAT
          ? await archiveParts(context, shelf, device)
          : [await connectTo(context, device)];
      connections.push(...found.map(({ hypervisor }) => hypervisor));
      sources.push(...found);
    }
    refuseTwice(sources);
    const guest = guestOf(path, devices);
    await using hypervisor = new JoinedHypervisor({ guest, sources, configuration });
    const notes = await archiveNotes(context);
    const source = { hypervisor, hypervisorName: 'archive', selector: guest.id, notes };
    await writeArchiveTo(context, { ...source, command: 'vma create', target, shape: plainShape });
  } finally {
    for (const hypervisor of connections) await hypervisor[Symbol.asyncDispose]();
  }
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

async function connectTo(context: CommandContext, device: DeviceSource): Promise<JoinedSource> {
  const { plugins, signal, output, world } = context;
  const { selector, format, size, name = '' } = device;
  if (size !== undefined) {
    const { InputHypervisor } = await import('@vbackup/core/backup/archive/write');
    return {
      hypervisor: new InputHypervisor({ chunks: world.stdin(), size, name: 'standard input' }),
      selector,
      name,
    };
  }
  if (format === undefined) await refuseArchive(selector);
  const hypervisor = await plugins.connect(isNbdUri(selector) ? 'nbd' : 'file', {
    flags: format === undefined ? {} : { 'file-format': format },
    signal,
    onWarning: ({ code, message }) => output.warning(code, message),
  });
  return { hypervisor, selector, name };
}

/** Each device of an archive as a guest of its own. */
async function archiveParts(
  { output }: CommandContext,
  shelf: ArchiveShelf,
  { selector, name }: DeviceSource,
): Promise<JoinedSource[]> {
  const { VmaHypervisor } = await import('@vbackup/core/backup/archive');
  const { opened, name: path, devices } = await shelf.devices(selector);
  if (name !== undefined && devices.length !== 1) {
    const all = devices.map((device) => device.name).join(', ') || 'none';
    throw usageError(
      `${path} has not one device to be called ${name}, it has ${all}`,
      `name one: ${name}=${path}:<device>`,
    );
  }
  const warn = ({ code, message }: { code: string; message: string }): void => output.warning(code, message);
  return devices.map((device) => ({
    hypervisor: new VmaHypervisor({ archive: opened.archive, path, vmstate: true, devices: [device], warn }),
    selector: path,
    name: name ?? device.name,
  }));
}

/** Most likely its devices are meant, and not the bytes of the archive. */
async function refuseArchive(path: string): Promise<void> {
  if (!(await isVma(path))) return;
  throw usageError(
    `${path} is a VMA archive`,
    `--device format=vma:${path} takes its devices, --device format=raw:<name>=${path} the file as it is`,
  );
}

/** Whoever opens it tells what else is wrong with it. */
async function isVma(path: string): Promise<boolean> {
  const { beginsArchive, COMPRESSION_MAGIC_LENGTH } = await import('@vbackup/core/vma');
  try {
    if (!(await stat(path)).isFile()) return false;
    await using file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(COMPRESSION_MAGIC_LENGTH));
    return beginsArchive(buffer.subarray(0, bytesRead));
  } catch {
    return false;
  }
}

function refuseTwice(sources: readonly JoinedSource[]): void {
  const names = sources.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice === undefined) return;
  throw new VBackupError('VB_VMA_DUPLICATE_NAME', `two devices are called ${twice}`, {
    cure: 'give one another name: --device format=vma:<name>=<archive>:<device>',
  });
}

/** The same archive of the same devices is the same guest: what a run that died left is found by the next. */
function guestOf(
  path: string,
  devices: readonly DeviceSource[],
): { readonly id: string; readonly name: string; readonly kind: 'machine' } {
  const id = createHash('sha256')
    .update(JSON.stringify([path, devices]))
    .digest('hex')
    .slice(0, 16);
  return { id, name: path === '-' ? 'vm' : (path.split('/').at(-1) ?? 'vm').replace(/\.vma.*$/, ''), kind: 'machine' };
}
