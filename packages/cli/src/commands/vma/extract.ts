import { resolve } from 'node:path';
import type { ExtractReport } from '@vbackup/core';
import { EXIT } from '../../exit-codes.js';
import { limiterOf } from '../../limit-rate.js';
import { usageError } from '../../usage.js';
import { archiveSource, verifySource } from '../../vma/archive-source.js';
import { DeviceProgress } from '../../vma/device-progress.js';
import { type ExtractPlan, type ExtractStep, planExtraction } from '../../vma/extract-plan.js';
import { checkFifo, planByFifo } from '../../vma/fifo-plan.js';
import { PveProgress } from '../../vma/pve-progress.js';
import { TargetFolder } from '../../vma/target-folder.js';
import { warnOf } from '../../vma/warn-of.js';
import type { CommandContext, Outcome } from '../command.js';

/** Of a salvaged archive, besides the first, which is the error. */
const SHOWN_DAMAGES = 10;

/** Writes devices of an archive to targets, and its configurations into the folder. */
export async function vmaExtract(context: CommandContext): Promise<Outcome> {
  const { invocation, output, world, signal } = context;
  const { options, operands } = invocation;
  const [, folder] = operands;
  checkOptions(context);
  const { pacedTarget } = await import('@vbackup/core/pace');
  const { damageError, extractArchive } = await import('@vbackup/core/vma');
  const limiter = await limiterOf(options.number('limit-rate'));
  const limited = (step: ExtractStep): ExtractStep =>
    limiter === undefined ? step : { ...step, openTarget: pacedTarget(step.openTarget, limiter) };
  const source = await archiveSource(context);
  const progress = new DeviceProgress(output);
  const path = folder === undefined ? undefined : resolve(world.cwd, folder);
  let plan: ExtractPlan = { steps: [], configs: [] };
  let log: PveProgress | undefined;
  const print = (line: string | undefined): void => (line === undefined ? undefined : world.stdout.write(`${line}\n`));
  const fifo = options.text('fifo');
  if (fifo !== undefined) await checkFifo(resolve(world.cwd, fifo), fifo);
  const force = options.flag('force');
  await using target = path === undefined ? null : await TargetFolder.open(path, { force });
  const report = await extractArchive({
    source: verifySource(source),
    salvage: options.flag('salvage'),
    signal,
    onProgress: (device, done) => (log === undefined ? progress.at(device, done) : undefined),
    onCluster: (storedBlocks) => print(log?.cluster(storedBlocks)),
    plan: async ({ header }) => {
      plan = await planExtraction(header, { world, options, folder, devices: fifo === undefined });
      if (fifo === undefined) return plan.steps.map(limited);
      // qmrestore reads the configuration before it says where the devices go.
      await writeConfigs(context, plan);
      if (!force) for (const config of plan.configs) target?.claim(resolve(world.cwd, config.path));
      plan = { configs: [], steps: await planByFifo(context, header, fifo) };
      if (options.flag('verbose')) log = new PveProgress(header.devices, () => world.now());
      return plan.steps.map(limited);
    },
  });
  target?.keep();
  for (const line of log?.finish() ?? []) print(line);
  progress.finish(report.devices);
  warnOf(output, report.warnings);
  await writeConfigs(context, plan);
  tell(context, plan, report);
  const [damage, ...others] = report.damages;
  for (const { code, message } of others.slice(0, SHOWN_DAMAGES)) output.warning(code, message);
  if (damage !== undefined) throw damageError(damage);
  return { done: plan.steps.length, failed: 0, exitCode: EXIT.done };
}

/** Standard output can be one device, and nothing else. */
const toStdout = ({ invocation }: CommandContext): boolean =>
  invocation.options.texts('map').some((mapping) => mapping.endsWith('=-'));

function checkOptions(context: CommandContext): void {
  const { options, operands } = context.invocation;
  const mappings = options.texts('map');
  if (operands[1] === undefined && mappings.length === 0) {
    throw usageError('no target was named', 'name a folder, or map a device with --map <name>=<target>');
  }
  if (mappings.filter((mapping) => mapping.endsWith('=-')).length > 1) {
    throw usageError('standard output takes one device', 'map the others to files');
  }
  if (options.text('fifo') !== undefined && options.flag('json'))
    throw usageError('--json and --fifo exclude each other');
  if (options.text('fifo') !== undefined && !options.flag('sparse'))
    throw usageError(
      '--no-sparse and --fifo exclude each other',
      'what is read from the fifo says where zeros are written',
    );
  if (toStdout(context) && options.flag('json'))
    throw usageError('--json and a device on standard output exclude each other');
}

async function writeConfigs({ invocation, world, signal }: CommandContext, { configs }: ExtractPlan): Promise<void> {
  const { openArchiveOutput } = await import('@vbackup/core/vma');
  const force = invocation.options.flag('force');
  for (const { config, path } of configs) {
    await using file = await openArchiveOutput({ path: resolve(world.cwd, path), force, signal });
    await file.write([config.content]);
    await file.finish();
  }
}

function tell(context: CommandContext, { steps, configs }: ExtractPlan, { devices }: ExtractReport): void {
  if (toStdout(context)) return;
  const item = { type: 'summary', scope: 'item', command: 'vma extract' } as const;
  for (const { config, path } of configs) {
    context.output.item({ ...item, config: config.name, target: path, size: config.content.length });
  }
  for (const { device, size, written, missing } of devices) {
    const target = steps.find((step) => step.device.id === device.id)?.name ?? '';
    context.output.item({ ...item, device: device.name, target, size, written, missing });
  }
}
