import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { ProtocolError, VBackupError } from '../errors/index.js';
import type { VmaDamage, VmaDevice, VmaEvent } from '../vma/archive.js';
import { VmaDecoder } from '../vma/decoder.js';
import { encodeExtentHeader, type NewExtentSlot } from '../vma/extent-encode.js';
import { encodeHeader } from '../vma/header-encode.js';
import { blockCountOf } from '../vma/mask-bitmap.js';
import type { PositionSource } from '../vma/position-file.js';
import { openArchiveAt } from '../vma/random-access.js';
import { VMA_BLOCK_LENGTH, VMA_CLUSTER_LENGTH } from '../vma/words.js';
import { type FuzzOptions, type FuzzReport, runFuzz } from './fuzz-run.js';
import { loadVmaFixture } from './vma-fixture.js';
import { mutateArchive, randomBelow } from './vma-mutation.js';

/** The guest's memory, which follows rules of its own, and a disk beside it. */
function memoryArchive(): Buffer {
  const uuid = Buffer.alloc(16, 5);
  const devices = [
    { name: 'vmstate', size: 4 * VMA_CLUSTER_LENGTH },
    { name: 'drive-scsi0', size: VMA_CLUSTER_LENGTH + 512 },
  ];
  const slotsOf = (deviceId: number, ...masks: readonly number[]): NewExtentSlot[] =>
    masks.map((mask, clusterIndex) => ({ deviceId, clusterIndex, mask, blockCount: blockCountOf(mask) }));
  const [first, ...others] = slotsOf(1, 0xffff, 0, 3, 0x8001);
  const extents = [slotsOf(2, 2, 1).concat(first ?? []), others].map((slots) => {
    const count = slots.reduce((sum, { blockCount }) => sum + blockCount, 0);
    return Buffer.concat([encodeExtentHeader(uuid, slots), Buffer.alloc(count * VMA_BLOCK_LENGTH, 'memory')]);
  });
  return Buffer.concat([encodeHeader({ uuid, ctime: 0, configs: [], devices }), ...extents]);
}

const BASES = [
  '20-corrupt-base.vma',
  '04-tails.vma',
  '06-noconfdev.vma',
  '09-names.vma',
  '13-shuffled-gaps.vma',
  '02-multi-interleaved.vma',
]
  .map(loadVmaFixture)
  .concat(memoryArchive());

/** Content that is compared is read up to here, of each device; devices are as long as a mutated header claims. */
const MAX_COMPARED = 8 * VMA_CLUSTER_LENGTH;

/**
 * Reads mutated archives as a stream, by random access, and salvaging both ways. Each must end in a right answer or in an error
 * with a code of VMA, and all ways must say the same; a reader of a few lines, which believes everything, says what is right.
 * @throws Error with the seed of the case that did not
 */
export const fuzzArchives = (options: FuzzOptions): Promise<FuzzReport> => runFuzz(options, fuzzOne);

/** One case; the same for the same seed. */
async function fuzzOne(seed: number): Promise<string> {
  const random = randomBelow(seed);
  const bytes = mutateArchive(BASES[random(BASES.length)] ?? Buffer.alloc(0), random);
  const piece = 1 + random(random(2) === 0 ? 2000 : 100_000);
  const streamed = stream(bytes, { piece });
  const placed = await open(bytes);
  assert.deepEqual(placed.fault, streamed.fault, 'a stream and random access differ');
  if (streamed.fault === undefined) await compare(bytes, streamed);
  await salvage(bytes, { piece, fault: streamed.fault });
  return streamed.fault?.code ?? 'none';
}

interface Fault {
  readonly code: string;
  readonly offset: number;
}

interface Streamed {
  readonly fault: Fault | undefined;
  readonly devices: readonly VmaDevice[];
  readonly damages: readonly VmaDamage[];
  /** Over number, mask and blocks of every cluster, by device, in the order of the archive. */
  readonly clusters: ReadonlyMap<string, string>;
}

/** A fault with a code of VMA; everything else is thrown on. */
function faultOf(error: unknown): Fault {
  if (!(error instanceof ProtocolError) || !error.code.startsWith('VB_VMA_')) throw error;
  return { code: error.code, offset: error.offset };
}

function stream(bytes: Buffer, options: { readonly piece: number; readonly salvage?: boolean }): Streamed {
  const decoder = new VmaDecoder({ salvage: options.salvage });
  const devices: VmaDevice[] = [];
  const damages: VmaDamage[] = [];
  const clusters = new Map<string, string>();
  const add = (event: VmaEvent): void => {
    if (event.type === 'header') devices.push(...event.header.devices);
    if (event.type === 'damage') damages.push(event.damage);
    if (event.type !== 'cluster') return;
    const key = `${event.device.id} ${event.clusterIndex}`;
    assert.ok(!clusters.has(key), `cluster ${key} is given twice`);
    clusters.set(key, digest(event.mask, event.data));
  };
  let fault: Fault | undefined;
  try {
    for (let at = 0; at < bytes.length; at += options.piece) {
      for (const event of decoder.push(bytes.subarray(at, at + options.piece))) add(event);
    }
    for (const event of decoder.end()) add(event);
  } catch (error) {
    fault = faultOf(error);
  }
  return { fault, devices, damages, clusters };
}

function digest(mask: number, data: Buffer): string {
  return createHash('sha1').update(`${mask} `).update(data).digest('hex');
}

const inMemory = (bytes: Buffer): PositionSource => ({
  path: 'memory',
  size: bytes.length,
  readSome: async (position, length) => bytes.subarray(position, position + length),
  readAll: async (position, buffers) => {
    let at = position;
    for (const buffer of buffers) {
      assert.ok(at + buffer.length <= bytes.length, 'read behind the end of the archive');
      at += bytes.copy(buffer, 0, at, at + buffer.length);
    }
  },
});

async function open(
  bytes: Buffer,
  options: { readonly salvage?: boolean } = {},
): Promise<{ fault: Fault | undefined }> {
  try {
    await openArchiveAt(inMemory(bytes), options);
    return { fault: undefined };
  } catch (error) {
    // What seems compressed has no magic either.
    if (error instanceof VBackupError && error.code === 'VB_UNSUPPORTED') {
      return { fault: { code: 'VB_VMA_BAD_MAGIC', offset: 0 } };
    }
    return { fault: faultOf(error) };
  }
}

/** A valid archive: every cluster is there, and all ways give the bytes that the simple reader gives. */
async function compare(bytes: Buffer, { devices, clusters }: Streamed): Promise<void> {
  const simple = simpleClusters(bytes);
  const archive = await openArchiveAt(inMemory(bytes));
  for (const device of devices) {
    const image = archive.image(device);
    const count = Math.ceil(image.size / VMA_CLUSTER_LENGTH);
    for (let index = 0; index < count; index += 1) {
      assert.ok(clusters.has(`${device.id} ${index}`), `cluster ${index} of device ${device.id} is not given`);
    }
    const content = Buffer.alloc(Math.min(image.size, MAX_COMPARED), 0xee);
    await image.read(0, content);
    const expected = Buffer.alloc(content.length);
    for (let index = 0; index * VMA_CLUSTER_LENGTH < content.length; index += 1) {
      simple.get(`${device.id} ${index}`)?.copy(expected, index * VMA_CLUSTER_LENGTH);
    }
    assert.ok(content.equals(expected), `device ${device.id} is not what the simple reader gives`);
  }
}

/** Reads an archive that is known to be right, and believes all of it. */
function simpleClusters(bytes: Buffer): Map<string, Buffer> {
  const clusters = new Map<string, Buffer>();
  let at = bytes.readUInt32BE(56);
  while (at < bytes.length) {
    let data = at + 512;
    for (let slot = at + 40; slot < at + 512; slot += 8) {
      if (bytes[slot + 3] === 0) continue;
      const bits = bytes.readUInt16BE(slot).toString(2).padStart(16, '0');
      const cluster = Buffer.alloc(VMA_CLUSTER_LENGTH);
      for (let block = 0; block < 16; block += 1) {
        if (bits[15 - block] !== '1') continue;
        data += bytes.copy(cluster, block * VMA_BLOCK_LENGTH, data, data + VMA_BLOCK_LENGTH);
      }
      clusters.set(`${bytes[slot + 3]} ${bytes.readUInt32BE(slot + 4)}`, cluster);
    }
    at = data;
  }
  return clusters;
}

/** Salvaging ends in a report, or in the fault of the header; and finds nothing exactly where there is nothing. */
async function salvage(
  bytes: Buffer,
  { piece, fault }: { readonly piece: number; readonly fault: Fault | undefined },
): Promise<void> {
  const streamed = stream(bytes, { piece, salvage: true });
  const report = await salvageAt(bytes);
  if ('code' in report) {
    assert.deepEqual(report, streamed.fault, 'salvaging a stream and at any place ends differently');
    assert.deepEqual(report, fault, 'a fault of the header ends salvaging as it ends reading');
    return;
  }
  assert.equal(streamed.fault, undefined);
  assert.deepEqual(
    report,
    streamed.damages.slice(0, report.length).map(({ code, offset }) => ({ code, offset })),
  );
  assert.equal(report.length === 0, fault === undefined, 'salvaging finds what reading finds');
}

async function salvageAt(bytes: Buffer): Promise<Fault | readonly Fault[]> {
  try {
    const archive = await openArchiveAt(inMemory(bytes), { salvage: true });
    for (const { full, partial, zero, clusterCount } of archive.facts) {
      assert.ok(partial >= 0 && full + partial + zero <= clusterCount, 'more clusters than there are');
    }
    return archive.damages.map(({ code, offset }) => ({ code, offset }));
  } catch (error) {
    if (error instanceof VBackupError && error.code === 'VB_UNSUPPORTED')
      return { code: 'VB_VMA_BAD_MAGIC', offset: 0 };
    return faultOf(error);
  }
}
