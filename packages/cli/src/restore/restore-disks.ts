import type { OpenTarget } from '@vbackup/core';
import type { CommandContext } from '../commands/command.js';
import { limiterOf } from '../limit-rate.js';
import { JointFinish } from './joint-finish.js';
import type { RestoreQuestion, RestoreStep } from './plan-restore.js';

/** Restores every disk of a plan. What is complete stays, whatever becomes of the others. */
export async function restoreDisks(
  context: CommandContext,
  question: RestoreQuestion,
  steps: readonly RestoreStep[],
): Promise<void> {
  await run(context, question, { steps, onRestored: (tell) => tell() });
}

/** Restores disks that take the place of others: all of them when all are complete, or none. */
export async function restoreTogether(
  context: CommandContext,
  question: RestoreQuestion,
  steps: readonly RestoreStep[],
): Promise<void> {
  await using joint = new JointFinish();
  const joined = steps.map((step) => ({ ...step, openTarget: joint.join(step.openTarget) }));
  const restored: (() => void)[] = [];
  await run(context, question, { steps: joined, onRestored: (tell) => void restored.push(tell) });
  await joint.finish();
  for (const tell of restored) tell();
}

interface Run {
  readonly steps: readonly RestoreStep[];
  /** Gets what tells the user of a disk that is restored. */
  readonly onRestored: (tell: () => void) => void;
}

async function run(context: CommandContext, question: RestoreQuestion, { steps, onRestored }: Run): Promise<void> {
  const { atOnce } = await import('@vbackup/core/pace');
  const throttle = await throttleOf(context);
  const count = Math.min(steps.length, context.invocation.options.number('concurrency') ?? 1);
  await atOnce(steps, { count, signal: context.signal }, async (step, { signal }) => {
    const openTarget = throttle(step.openTarget);
    onRestored(await restoreDisk({ ...context, signal }, question, { ...step, openTarget, disksAtOnce: count }));
  });
}

/** All disks share one rate. */
async function throttleOf({ invocation: { options } }: CommandContext): Promise<(open: OpenTarget) => OpenTarget> {
  const limiter = await limiterOf(options.number('limit-rate'));
  if (limiter === undefined) return (open) => open;
  const { pacedTarget } = await import('@vbackup/core/pace');
  return (open) => pacedTarget(open, limiter);
}

/** @returns what tells the user */
async function restoreDisk(
  context: CommandContext,
  { repository, manifest }: RestoreQuestion,
  { disk, name, openTarget, disksAtOnce }: RestoreStep & { readonly disksAtOnce: number },
): Promise<() => void> {
  const { output, signal } = context;
  const { runRestore } = await context.work();
  const onEvent = output.work;
  const summary = await runRestore({ repository, manifest, disk, openTarget, disksAtOnce, signal, onEvent });
  const { size, written, elapsedMs } = summary;
  const item = { type: 'summary', scope: 'item', command: 'restore', id: manifest.id } as const;
  return () => output.item({ ...item, disk, target: name, size, written, elapsedMs });
}
