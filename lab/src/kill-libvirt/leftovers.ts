import { readdir } from 'node:fs/promises';
import type { Manifest } from '@vbackup/core';
import type { LabDomain, LibvirtLab } from '../libvirt/index.js';

export interface LeftQuestion {
  readonly lab: LibvirtLab;
  readonly domain: LabDomain;
  /** The backup that the next increment stands on. */
  readonly newest: Manifest | undefined;
}

/** What should not be there after a run that succeeded, in words: only the newest backup's checkpoint waits for the next one. */
export async function leftOf({ lab, domain, newest }: LeftQuestion): Promise<readonly string[]> {
  const { name } = domain;
  const left: string[] = [];
  const state = await domain.state();
  if (state !== 'running') left.push(`a guest that is ${state}`);
  const job = await lab.virsh('domjobinfo', name);
  if (!job.includes('None')) left.push(`a job: ${job.trim()}`);
  const files = (await readdir(lab.images)).filter((file) => file.startsWith('vbackup-'));
  left.push(...files.map((file) => `the file ${file}`));

  const wanted = newest?.checkpoint?.['name'];
  if (typeof wanted !== 'string') return [...left, 'no backup with a checkpoint'];
  const checkpoints = linesOf(await lab.virsh('checkpoint-list', name, '--name'));
  left.push(...checkpoints.filter((each) => each !== wanted).map((each) => `the checkpoint ${each}`));
  if (!checkpoints.includes(wanted)) left.push(`nothing of the checkpoint ${wanted}`);

  const ask = async (execute: string): Promise<string> =>
    lab.virsh('qemu-monitor-command', name, JSON.stringify({ execute }));
  const nodes = await ask('query-named-block-nodes');
  const open = /vbackup-[^"\\]*\.scratch/.exec(nodes);
  if (open !== null) left.push(`an image in QEMU: ${open[0]}`);
  const bitmaps = namesIn(nodes, 'dirty-bitmaps');
  left.push(...bitmaps.filter((each) => each !== wanted).map((each) => `the bitmap ${each}`));
  if (bitmaps.length !== 2) left.push(`${bitmaps.length} bitmaps instead of 2`);
  for (const [question, what] of [
    ['query-jobs', 'jobs'],
    ['query-block-exports', 'exports'],
  ] as const) {
    const answer: unknown = JSON.parse(await ask(question));
    if (JSON.stringify(field(answer, 'return')) !== '[]') left.push(`${what} in QEMU: ${JSON.stringify(answer)}`);
  }
  return left;
}

const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');

/** The names of what nodes have under `key`; a node and the node below it name their bitmaps once each. */
function namesIn(text: string, key: string): readonly string[] {
  const nodes = field(JSON.parse(text), 'return');
  if (!Array.isArray(nodes)) throw new Error(`QEMU told no nodes: ${text}`);
  return nodes.flatMap((node: unknown) => {
    const entries = field(node, key);
    return Array.isArray(entries) ? entries.map((entry: unknown) => String(field(entry, 'name'))) : [];
  });
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? new Map(Object.entries(value)).get(name) : undefined;
}
