import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { requireTools } from '../testing/tools.js';
import { adler32 } from './adler32.js';
import { MAX_DATA_FRAME_LENGTH, SparseStreamEncoder } from './encoder.js';
import { compressFrame } from './lz4-encode.js';
import {
  checkpointListJson,
  checksumName,
  minimalDomainXml,
  PEER_DISK_FORMAT,
  peerCheckpointName,
  peerConfigName,
  peerDataName,
} from './peer-files.js';

const run = promisify(execFile);
const MiB = 1024 * 1024;
const SIZE = 64 * MiB;
const TARGET = 'xvda';

type Range = readonly [offset: number, length: number];
type Version = { readonly image: Buffer; readonly dirty: readonly Range[] };

const ZEROS = Buffer.alloc(MAX_DATA_FRAME_LENGTH);
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Full, then two increments: new data, data that became zero, and the first and last block of the disk. */
function versions(): readonly Version[] {
  const full = Buffer.alloc(SIZE);
  full.fill('the first bytes ', 0, 3 * MiB);
  fillNoise(full, 20 * MiB, 17 * MiB);
  const first = Buffer.from(full);
  first.fill('changed', 0, 65536);
  first.fill(0, 24 * MiB, 25 * MiB);
  const second = Buffer.from(first);
  fillNoise(second, SIZE - 65536, 65536);
  second.fill(0, 65536, 3 * 65536);
  return [
    { image: full, dirty: [[0, SIZE]] },
    {
      image: first,
      dirty: [
        [0, 65536],
        [24 * MiB, MiB],
      ],
    },
    {
      image: second,
      dirty: [
        [65536, 2 * 65536],
        [SIZE - 65536, 65536],
      ],
    },
  ];
}

/** Bytes that do not compress, the same in every run. */
function fillNoise(image: Buffer, offset: number, length: number): void {
  for (let at = offset; at < offset + length; at += 64)
    createHash('sha512').update(String(at)).digest().copy(image, at);
}

function stream({ image, dirty }: Version, index: number, compressed: false | number): Buffer {
  const encoder = new SparseStreamEncoder({
    virtualSize: SIZE,
    diskName: TARGET,
    diskFormat: PEER_DISK_FORMAT,
    checkpointName: peerCheckpointName(index),
    parentCheckpoint: index === 0 ? '' : peerCheckpointName(index - 1),
    incremental: index > 0,
    compressed,
    date: new Date(2026, 0, 1, 0, index),
    extra: { vbackup: { id: `id-${index}`, parent: index === 0 ? null : `id-${index - 1}` } },
  });
  const buffers = [encoder.begin()];
  for (const [start, length] of dirty) {
    for (let offset = start; offset < start + length; offset += MAX_DATA_FRAME_LENGTH) {
      const bytes = image.subarray(offset, Math.min(offset + MAX_DATA_FRAME_LENGTH, start + length));
      const zero = index === 0 && bytes.equals(ZEROS);
      const frame = zero
        ? encoder.zero(offset, bytes.length)
        : encoder.data(offset, bytes.length, compressed === false ? bytes : compressFrame(bytes));
      buffers.push(...frame.buffers);
    }
  }
  const { buffers: end, patch } = encoder.finish();
  const file = Buffer.concat([...buffers, ...end]);
  patch.bytes.copy(file, patch.fileOffset);
  return file;
}

async function writeChain(folder: string, chain: readonly Version[], compressed: false | number): Promise<void> {
  for (const [index, version] of chain.entries()) {
    const checkpointName = peerCheckpointName(index);
    const level = index === 0 ? 'full' : 'inc';
    const name = peerDataName({ target: TARGET, level, checkpointName, at: new Date(0) });
    const file = stream(version, index, compressed);
    await writeFile(join(folder, name), file);
    await writeFile(join(folder, checksumName(name)), String(adler32(file)));
    const xml = minimalDomainXml({ name: 'guest <1> & more', disks: [{ target: TARGET }, { target: 'xvdb' }] });
    await writeFile(join(folder, peerConfigName(checkpointName)), xml);
    // The tool orders by file time, so the times are those of the chain.
    const seconds = 1_700_000_000 + index;
    await utimes(join(folder, name), seconds, seconds);
    await utimes(join(folder, peerConfigName(checkpointName)), seconds, seconds);
  }
  await writeFile(join(folder, 'guest.cpt'), checkpointListJson(chain.map((_, index) => peerCheckpointName(index))));
}

describe('virtnbdrestore and our streams', function () {
  this.timeout(120_000);
  let folder: string;
  let chain: readonly Version[];

  before(function () {
    requireTools(this, ['virtnbdrestore', 'qemu-nbd', 'qemu-img']);
    chain = versions();
  });
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-peer-'));
    await mkdir(join(folder, 'in'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** No libvirt runs: the tool only needs a connection that opens, and libvirt's test driver gives it one. */
  const restore = async (output: string, extra: readonly string[] = []): Promise<string> => {
    const connection = ['-U', 'test:///default', '-f', join(folder, 'nbd.sock')];
    const quiet = ['--noprogress', '--logfile', join(folder, 'restore.log')];
    const paths = ['-i', join(folder, 'in'), '-o', output];
    const { stdout } = await run('virtnbdrestore', [...connection, ...quiet, ...paths, ...extra]);
    return stdout;
  };

  for (const compressed of [false, 2] as const) {
    const name = compressed === false ? 'plain' : 'LZ4';
    it(`a ${name} chain restores to the image at each of its points`, async () => {
      await writeChain(join(folder, 'in'), chain, compressed);
      for (const [index, { image }] of chain.entries()) {
        const output = join(folder, `out${index}`);
        await restore(output, index === 2 ? [] : ['--until', peerCheckpointName(index)]);
        await run('qemu-img', ['convert', '-O', 'raw', join(output, `${TARGET}.qcow2`), join(folder, 'raw')]);
        assert.equal(sha256(await readFile(join(folder, 'raw'))), sha256(image), `after ${index}`);
      }
    });
  }

  it('the tool dumps our metadata', async () => {
    await writeChain(join(folder, 'in'), chain, 2);
    const names = v.parse(v.array(v.object({ checkpointName: v.string() })), JSON.parse(await restore('dump')));
    assert.deepEqual(
      names.map((meta) => meta.checkpointName),
      [0, 1, 2].map(peerCheckpointName),
    );
  });
});
