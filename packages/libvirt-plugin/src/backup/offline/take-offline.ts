import type { Checkpoint, ConfigurationFile, Snapshot, SnapshotDisk, WithSignal } from '@vbackup/core';
import { newQemuFolder } from '@vbackup/core/qemu';
import { checkpointName, checkpointRecord, makeUlid, redefinitionXml } from '../../checkpoint/index.js';
import type { LibvirtConnection } from '../../connection/index.js';
import type { Base } from '../base.js';
import { configurationOf } from '../configuration.js';
import type { LibvirtContext } from '../context.js';
import type { OfflineEntry } from '../journal.js';
import { readChanges } from '../read-changes.js';
import type { SnapshotPlan } from '../snapshot-plan.js';
import { bitmapContext, ImageExport } from './image-export.js';
import { bitmapSince, offlineBase } from './offline-base.js';
import { bitmapImages, type OfflineDisk, offlineDisks } from './offline-disks.js';
import { OfflineSnapshot } from './offline-snapshot.js';
import { explainStart, StartGuard } from './start-guard.js';

/**
 * The disks of a domain that is off, which QEMU's programs read from their images. Its checkpoint is made first: what the guest
 * writes as soon as it is started again is recorded by bitmaps that are older than what was read.
 */
export async function takeOffline(
  context: LibvirtContext,
  plan: SnapshotPlan,
  options: WithSignal = {},
): Promise<Snapshot> {
  const { libvirt, facts, place, chosen, record } = plan;
  const { name } = facts;
  const { images: tools, warn } = context;
  const single = place.disk !== null;
  const disks = await offlineDisks({ name, chosen, single, tools, warn, signal: options.signal });
  const base = offlineBase({ domain: facts.uuid, since: record, disks });
  const guard = new StartGuard(context, libvirt, facts);
  const exports: ImageExport[] = [];
  try {
    await guard.confirm(options);
    const time = new Date();
    const entry = entryOf(plan, disks, time);
    await plan.request.journal.record({ ...entry });
    if (entry.checkpoint !== null) await makeCheckpoint(context, libvirt, { entry, disks }, options);
    for (const [at, disk] of disks.entries()) {
      const folder = entry.folders[at] ?? newQemuFolder();
      exports.push(await ImageExport.open(context, { disk, bitmap: bitmapSince(base, disk), folder, ...options }));
    }
    await guard.watch(disks);
    await guard.confirm(options);
    const frozen = await Promise.all(exports.map((each) => frozenDisk(each, base, options)));
    const configuration = await configurationFor(context, plan, { entry, disks }, options);
    const checkpoint = plan.request.keepCheckpoint ? recordOf(entry, { disks, frozen }) : null;
    return new OfflineSnapshot(context, { entry, guard, exports, time, disks: frozen, checkpoint, configuration });
  } catch (error) {
    const reason = await explainStart(context, facts, error);
    for (const each of exports) await each[Symbol.asyncDispose]();
    guard[Symbol.dispose]();
    throw reason;
  }
}

function entryOf(
  { facts, place, description, request, owner, record }: SnapshotPlan,
  disks: readonly OfflineDisk[],
  time: Date,
): OfflineEntry {
  const keeps = request.keepCheckpoint && disks.some(isTracked);
  return {
    step: 'offline',
    domain: place.domain,
    folders: disks.map(() => newQemuFolder()),
    checkpoint: keeps ? checkpointName(request.repositoryId, makeUlid()) : null,
    creationTime: Math.floor(time.getTime() / 1000),
    replaces: record?.domain === facts.uuid ? record.name : null,
    keep: request.keepCheckpoint,
    owner: { ...owner },
    images: bitmapImages(description).map((image) => ({ ...image })),
  };
}

const isTracked = ({ choice }: OfflineDisk): boolean => choice.kind === 'tracked';

interface Made {
  readonly entry: OfflineEntry;
  readonly disks: readonly OfflineDisk[];
}

/** The bitmaps first: a checkpoint that libvirt knows and no image has would be believed. */
async function makeCheckpoint(
  context: LibvirtContext,
  libvirt: LibvirtConnection,
  { entry, disks }: Made,
  options: WithSignal,
): Promise<void> {
  const { domain, checkpoint: name, creationTime, owner } = entry;
  if (name === null) return;
  const tracked = disks.filter(isTracked);
  for (const { path, format } of tracked) await context.images.addBitmap({ path, format, name, ...options });
  const known = tracked.map(({ target }) => ({ target, size: 0, bitmap: true }));
  const xml = redefinitionXml({ version: 1, domain, name, creationTime, disks: known }, owner);
  if (xml !== null) await libvirt.createCheckpoint(domain, xml, { ...options, redefine: true });
}

async function frozenDisk(source: ImageExport, base: Base, options: WithSignal): Promise<SnapshotDisk> {
  const { disk, client } = source;
  const { target, clusterSize: clusterLength } = disk;
  const bitmap = bitmapSince(base, disk);
  const dirty = bitmap === null ? null : bitmapContext(bitmap);
  const changes = await readChanges(client, { target, context: dirty, base, clusterLength }, options);
  const { size } = client;
  return { name: target, id: target, label: disk.path, size, changes, open: (use) => source.openReader(use) };
}

function configurationFor(
  context: LibvirtContext,
  { libvirt, description }: SnapshotPlan,
  { entry, disks }: Made,
  { signal }: WithSignal,
): Promise<readonly ConfigurationFile[]> {
  const { domain, checkpoint } = entry;
  const choices = disks.map(({ choice }) => choice);
  return configurationOf(context, libvirt, { domain, description, disks: choices, checkpoint, remote: null, signal });
}

function recordOf(
  { domain, checkpoint: name, creationTime }: OfflineEntry,
  { disks, frozen }: { readonly disks: readonly OfflineDisk[]; readonly frozen: readonly SnapshotDisk[] },
): Checkpoint {
  const tracked = new Set(disks.filter(isTracked).map(({ target }) => target));
  return checkpointRecord({
    version: 1,
    domain,
    name,
    creationTime,
    disks: frozen.map(({ name: target, size }) => ({ target, size, bitmap: tracked.has(target) })),
  });
}
