import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { OpenTarget, PveRestoreTarget, VmaHeader } from '@vbackup/core';
import { UnsupportedError, VBackupError } from '@vbackup/core/errors';
import type { CommandContext } from '../commands/command.js';
import { isNbdUri } from '../subject.js';
import { openFileTarget, openNbdTarget, openQcow2Target } from '../targets.js';
import type { ExtractStep } from './extract-plan.js';
import { readFifoLines } from './fifo-lines.js';
import { throttles } from './throttle.js';

/** A target may be longer than the device, as volumes are rounded up; Proxmox takes no more than this. */
const MAX_SURPLUS = 4 * 1024 * 1024;

/** Before anything is said or written. @throws VBackupError VB_FILE_NOT_FOUND, VB_IO, VB_ACCESS_DENIED */
export async function checkFifo(path: string, name: string): Promise<void> {
  const { ioError, systemCode } = await import('@vbackup/core/storage');
  try {
    await stat(path);
  } catch (cause) {
    if (systemCode(cause) !== 'ENOENT') throw ioError(cause, `cannot look at ${name}`);
    throw new VBackupError('VB_FILE_NOT_FOUND', `there is no ${name}`, { cause, cure: 'make the FIFO first: mkfifo' });
  }
}

const SKIP_MEMORY = 'skip=vmstate';

/** Tells qmrestore what there is, and hears where each device goes. */
export async function planByFifo(context: CommandContext, header: VmaHeader, fifo: string): Promise<ExtractStep[]> {
  const { world, output } = context;
  const { compatListLines, isVmstate, parseRestoreMap } = await import('@vbackup/core/vma');
  world.stdout.write(`${compatListLines(header).join('\n')}\n`);
  await world.stdout.drain();
  const lines = await readFifoLines(resolve(world.cwd, fifo), context);
  const targets = parseRestoreMap(lines, header.devices);
  const throttleOf = await throttles(targets, { warn: (message) => output.warning('VB_UNSUPPORTED', message) });
  const memory = header.devices.find(isVmstate);
  if (
    memory !== undefined &&
    !lines.some((line) => line === SKIP_MEMORY) &&
    !targets.some(({ device }) => device === memory)
  ) {
    output.warning(
      'VB_UNSUPPORTED',
      'the memory of the guest (vmstate) is left out: there is no line for it',
      memory.name,
    );
  }
  const steps: ExtractStep[] = [];
  for (const target of targets) {
    for (const option of target.others) {
      output.warning('VB_UNSUPPORTED', `${option} is not followed`, target.device.name);
    }
    const openTarget = throttleOf(target)(await openerOf(target, world.cwd));
    steps.push({ device: target.device, name: target.path, openTarget });
  }
  return steps;
}

/** Volumes are there before the restore begins, and are written in place; the memory becomes a new file. */
async function openerOf(
  { device, path, format = 'raw', writeZeros }: PveRestoreTarget,
  cwd: string,
): Promise<OpenTarget> {
  const { isVmstate } = await import('@vbackup/core/vma');
  const inPlace = { zeroed: !writeZeros };
  if (isNbdUri(path)) return withoutSurplus(path, openNbdTarget(path));
  const file = resolve(cwd, path);
  if (isVmstate(device)) return openFileTarget(file);
  if (format === 'qcow2') return withoutSurplus(path, openQcow2Target(file, { inPlace }));
  if (format !== 'raw') {
    throw new UnsupportedError('VB_UNSUPPORTED', `${path} has the format ${format}`, {
      cure: 'restore to raw or qcow2',
    });
  }
  await checkLength(file, device.size);
  return withoutSurplus(path, openFileTarget(file, { inPlace }));
}

/** A file that is too short would be made longer. */
async function checkLength(path: string, size: number): Promise<void> {
  const { withIo } = await import('@vbackup/core/storage');
  const found = await withIo(`cannot look at ${path}`, () => stat(path));
  if (!found.isFile()) return;
  if (found.size < size)
    throw new VBackupError('VB_TARGET_TOO_SMALL', `${path} has ${found.size} bytes, the device ${size}`);
  if (found.size > size + MAX_SURPLUS) throw tooLong(path, found.size, size);
}

const withoutSurplus =
  (path: string, openTarget: OpenTarget): OpenTarget =>
  async (specification, options) => {
    const target = await openTarget(specification, options);
    if (target.size <= specification.size + MAX_SURPLUS) return target;
    await target[Symbol.asyncDispose]();
    throw tooLong(path, target.size, specification.size);
  };

const tooLong = (path: string, length: number, size: number): VBackupError =>
  new VBackupError(
    'VB_TARGET_INVALID',
    `${path} has ${length} bytes, more than 4 MiB beyond the ${size} of the device`,
    {
      cure: 'make a volume of the size of the device',
    },
  );
