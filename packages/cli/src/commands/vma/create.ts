import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Hypervisor, JoinedSource } from '@vbackup/core';
import { EXIT } from '../../exit-codes.js';
import { isNbdUri } from '../../subject.js';
import { usageError } from '../../usage.js';
import { archiveNotes } from '../../vma/archive-notes.js';
import { type DeviceSource, deviceSources } from '../../vma/device-source.js';
import { readConfigs } from '../../vma/read-configs.js';
import { writeArchiveTo } from '../../vma/write-archive-to.js';
import type { CommandContext, Outcome } from '../command.js';

/** Makes an archive of disk images, devices and NBD exports. */
export async function vmaCreate(context: CommandContext): Promise<Outcome> {
  const { invocation, world } = context;
  const [target] = invocation.operands;
  if (target === undefined) throw usageError('no archive was named');
  const devices = deviceSources(invocation.options.texts('device'), world.cwd);
  if (devices.length === 0) throw usageError('no device was named', 'name one: --device drive-scsi0=disk.raw');
  const configuration = await readConfigs(context);
  const { JoinedHypervisor, plainShape } = await import('@vbackup/core/backup/archive');
  const connections: Hypervisor[] = [];
  try {
    const sources: JoinedSource[] = [];
    for (const device of devices) {
      const hypervisor = await connectTo(context, device);
      connections.push(hypervisor);
      sources.push({ hypervisor, selector: device.selector, name: device.name });
    }
    const guest = guestOf(target === '-' ? '-' : resolve(world.cwd, target), devices);
    await using hypervisor = new JoinedHypervisor({ guest, sources, configuration });
    const notes = await archiveNotes(context);
    const source = { hypervisor, hypervisorName: 'archive', selector: guest.id, notes };
    await writeArchiveTo(context, { ...source, command: 'vma create', target, shape: plainShape });
  } finally {
    for (const hypervisor of connections) await hypervisor[Symbol.asyncDispose]();
  }
  return { done: 1, failed: 0, exitCode: EXIT.done };
}

async function connectTo(context: CommandContext, device: DeviceSource): Promise<Hypervisor> {
  const { plugins, signal, output, world } = context;
  const { selector, format, size } = device;
  if (size !== undefined) {
    const { InputHypervisor } = await import('@vbackup/core/backup/archive');
    return new InputHypervisor({ chunks: world.stdin(), size, name: 'standard input' });
  }
  return plugins.connect(isNbdUri(selector) ? 'nbd' : 'file', {
    flags: format === undefined ? {} : { 'file-format': format },
    signal,
    onWarning: ({ code, message }) => output.warning(code, message),
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
