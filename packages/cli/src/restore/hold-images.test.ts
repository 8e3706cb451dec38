import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFileTarget, QemuNbd } from '@vbackup/core';
import { requireTools } from '@vbackup/core/testing';
import { holdImages } from './hold-images.js';
import type { RestorePlan } from './plan-restore.js';

describe('holdImages', () => {
  let folder: string;
  let path: string;

  before(function () {
    requireTools(this, ['qemu-img', 'qemu-nbd']);
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-hold-'));
    path = join(folder, 'vda.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '1M']);
  });
  afterEach(() => rm(folder, { recursive: true }));

  const { signal } = new AbortController();
  const planFor = (...paths: readonly string[]): RestorePlan => ({
    steps: paths.map((each) => ({
      disk: 'vda',
      name: each,
      openTarget: openFileTarget(each),
      image: { path: each, format: 'raw' },
    })),
    folder: null,
  });
  const start = (): Promise<QemuNbd> => QemuNbd.start({ path, format: 'qcow2', readOnly: false, connections: 1 });

  it('keeps every machine from starting with an image that is replaced, until it is released', async () => {
    {
      await using held = await holdImages(planFor(join(folder, 'new.raw'), path), { force: true, signal });
      assert.equal(held.count, 1);
      await assert.rejects(start(), { code: 'VB_IMAGE_LOCKED' });
    }
    await using _machine = await start();
  });

  it('refuses an image that a machine has, and lets go of the others', async () => {
    const other = join(folder, 'vdb.qcow2');
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', other, '1M']);
    await using _machine = await start();
    await assert.rejects(holdImages(planFor(other, path), { force: true, signal }), { code: 'VB_IMAGE_LOCKED' });
    await using _again = await QemuNbd.start({ path: other, format: 'qcow2', readOnly: false, connections: 1 });
  });

  it('refuses a file that exists, unless forced, before any is written', async () => {
    const plan = planFor(join(folder, 'new.raw'), path);
    await assert.rejects(holdImages(plan, { force: false, signal }), { code: 'VB_TARGET_EXISTS' });
  });
});
