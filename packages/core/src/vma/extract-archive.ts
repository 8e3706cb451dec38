import type { Extent } from '../extent/index.js';
import type { OpenTarget, WithSignal } from '../hypervisor/index.js';
import type { VmaDamage, VmaDevice, VmaHeader, VmaWarning } from './archive.js';
import { decodeStream, fileChunks } from './archive-file.js';
import type { ArchiveCompression } from './compression.js';
import { copyImage, tellClusters } from './copy-image.js';
import { DamageList } from './damage.js';
import { VmaDecoder } from './decoder.js';
import { openCompressed } from './decompress.js';
import { DeviceOutputs } from './device-outputs.js';
import { isVmstate } from './ledger.js';
import { blockCountOf } from './mask-bitmap.js';
import { openArchiveAt, type VmaArchive } from './random-access.js';
import { openPlain, type VerifySource } from './verify.js';
import { VMA_CLUSTER_LENGTH } from './words.js';

/** A device, and where it goes. */
export interface ExtractTarget {
  readonly device: VmaDevice;
  readonly openTarget: OpenTarget;
}

/** What is known before the first target is opened. */
export interface ExtractBeginning {
  readonly header: VmaHeader;
  readonly compression: ArchiveCompression;
}

/** Says where which devices go; those that it leaves out are not extracted. */
export type PlanExtraction = (archive: ExtractBeginning) => Promise<readonly ExtractTarget[]>;

export interface ExtractOptions extends WithSignal {
  readonly source: VerifySource;
  readonly plan: PlanExtraction;
  /** Finishes the targets of a damaged archive as well; what is missing is zeros. */
  readonly salvage?: boolean | undefined;
  /** Bytes of a device that are done. */
  readonly onProgress?: ((device: VmaDevice, done: number) => void) | undefined;
  /** Every cluster of the archive when it is done, also of devices that go nowhere: how many of its 16 blocks are stored. */
  readonly onCluster?: ((storedBlocks: number) => void) | undefined;
}

export interface ExtractedDevice {
  readonly device: VmaDevice;
  /** Bytes; of `vmstate`, whole clusters. */
  readonly size: number;
  /** Bytes of data. */
  readonly written: number;
  /** Ranges that are nowhere in the archive; only when salvaging. */
  readonly missing: readonly Extent[];
}

export interface ExtractReport extends ExtractBeginning {
  readonly warnings: readonly VmaWarning[];
  /** The first of them; only when salvaging. */
  readonly damages: readonly VmaDamage[];
  readonly damageCount: number;
  readonly devices: readonly ExtractedDevice[];
}

/**
 * Writes devices of an archive to targets. Of an uncompressed file all headers are checked before anything is opened; a stream
 * is checked as it comes. In both cases a target is finished only when the whole archive was right, unless it is salvaged.
 * Memory: two buffers for each device, 64 MiB in all.
 * @throws ProtocolError VB_VMA_…; VBackupError VB_UNSUPPORTED where a target takes no clusters out of order, and what targets throw
 */
export async function extractArchive(options: ExtractOptions): Promise<ExtractReport> {
  const { source, signal, salvage } = options;
  if ('stream' in source) return extractStream(source.stream, options);
  const file = await openPlain(source.path);
  if (file === undefined) return extractStream(fileChunks(source.path, signal), options);
  await using plain = file;
  await using archive = await openArchiveAt(plain, { salvage, signal });
  return await extractFile(archive, options);
}

async function extractFile(archive: VmaArchive, options: ExtractOptions): Promise<ExtractReport> {
  const { header, warnings, damages, damageCount } = archive;
  const beginning: ExtractBeginning = { header, compression: 'none' };
  const targets = await options.plan(beginning);
  const sized = targets.map((target) => ({ ...target, size: archive.image(target.device).size }));
  await using outputs = await DeviceOutputs.open(sized, options);
  const missing = new Map<number, readonly Extent[]>();
  for (const device of header.devices)
    if (outputs.of(device) === undefined) tellClusters(archive.image(device), options);
  for (const output of outputs.all) {
    missing.set(output.device.id, await copyImage(archive.image(output.device), output, options));
  }
  await outputs.settle();
  const devices: ExtractedDevice[] = outputs.all.map(({ device, written }) => ({
    device,
    size: archive.image(device).size,
    written,
    missing: missing.get(device.id) ?? [],
  }));
  await outputs.finish();
  return { ...beginning, warnings, damages, damageCount, devices };
}

async function extractStream(source: AsyncIterable<Buffer>, options: ExtractOptions): Promise<ExtractReport> {
  const { signal } = options;
  const { compression, bytes } = await openCompressed(source, { signal });
  const decoder = new VmaDecoder({ salvage: options.salvage });
  const events = decodeStream(bytes, { decoder, signal });
  const first = await events.next();
  // The header comes first, or an error.
  if (first.done === true || first.value.type !== 'header') throw new TypeError('an archive began without its header');
  const { header } = first.value;
  const targets = await options.plan({ header, compression });
  const sized = targets.map((target) => ({
    ...target,
    size: isVmstate(target.device) ? undefined : target.device.size,
  }));
  await using outputs = await DeviceOutputs.open(sized, options);
  const warnings: VmaWarning[] = [];
  const damages = new DamageList();
  const missing = new Map<number, Extent[]>();
  for await (const event of events) {
    if (event.type === 'warning') warnings.push(event.warning);
    if (event.type === 'damage') {
      damages.add(event.damage);
      await noteMissing(event.damage, { outputs, missing });
    }
    if (event.type !== 'cluster') continue;
    const output = outputs.of(event.device);
    if (output !== undefined) {
      await output.cluster(event);
      options.onProgress?.(event.device, outputs.advance(event.device));
    }
    options.onCluster?.(blockCountOf(event.mask));
  }
  await outputs.settle();
  const devices = outputs.all.map(({ device, written, end }) => ({
    device,
    size: isVmstate(device) ? end : device.size,
    written,
    missing: missing.get(device.id) ?? [],
  }));
  await outputs.finish();
  return { header, compression, warnings, damages: damages.kept, damageCount: damages.count, devices };
}

interface Missing {
  readonly outputs: DeviceOutputs;
  readonly missing: Map<number, Extent[]>;
}

/** What never came is told at the end, range by range, and reads as zeros. */
async function noteMissing({ code, device, clusters }: VmaDamage, { outputs, missing }: Missing): Promise<void> {
  if (code !== 'VB_VMA_MISSING_CLUSTER' || device === undefined || clusters === undefined) return;
  const output = outputs.of(device);
  if (output === undefined) return;
  const offset = clusters.first * VMA_CLUSTER_LENGTH;
  const end = clusters.end * VMA_CLUSTER_LENGTH;
  const range = { offset, length: (isVmstate(device) ? end : Math.min(end, device.size)) - offset };
  missing.set(device.id, [...(missing.get(device.id) ?? []), range]);
  await output.zeros(range.offset, range.length);
}
