import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import fc from 'fast-check';
import { decodeArchive, sha256 } from '../testing/vma-archive.js';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '../testing/vma-fixture.js';
import { archiveOf, LateSink, newArchive, TEST_UUID } from '../testing/vma-sink.js';
import { ArchiveDigester } from './archive-digester.js';
import { VmaDecoder } from './decoder.js';
import { digestArchive } from './digest-archive.js';
import { DigestingSink } from './digesting-sink.js';
import { PIECE_LENGTH, PieceDigests, type PieceHasher, plainHasher } from './piece-digests.js';
import { openVmaArchive } from './random-access.js';
import { compareSidecars, deviceDigest, encodeSidecar, type Sidecar } from './sidecar.js';
import { SidecarDecoder } from './sidecar-decode.js';
import { readSidecar, writeSidecar } from './sidecar-file.js';
import { VMA_CLUSTER_LENGTH as CLUSTER } from './words.js';
import { VmaWriter } from './writer.js';

const textOf = (sidecar: Sidecar): string => [...encodeSidecar(sidecar)].join('');

async function digested(archive: Buffer, hasher?: PieceHasher): Promise<Sidecar> {
  const decoder = new VmaDecoder();
  let digester: ArchiveDigester | undefined;
  for (const events of [() => decoder.push(archive), () => decoder.end()]) {
    for (const event of events()) {
      if (event.type === 'header') digester = new ArchiveDigester(event.header, { hasher });
      if (event.type === 'cluster') await digester?.add(event);
    }
  }
  assert.ok(digester !== undefined);
  return digester.finish();
}

function decodeText(text: string, length = text.length): Sidecar {
  const decoder = new SidecarDecoder();
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += length) decoder.push(bytes.subarray(at, at + length));
  return decoder.end();
}

/** 3.5 MiB: data, zeros, zeros, data; its own length is 12 bytes short of a sector. */
const CONTENT = Buffer.alloc(3 * PIECE_LENGTH + PIECE_LENGTH / 2 - 12)
  .fill('first', 0, PIECE_LENGTH)
  .fill('last', 3 * PIECE_LENGTH + 7);

async function example(): Promise<{ readonly bytes: Buffer; readonly sidecar: Sidecar }> {
  const sink = new LateSink();
  const digesting = new DigestingSink(sink, { lengths: new Map([[1, CONTENT.length]]) });
  const devices = [
    { name: 'drive-scsi0', size: CONTENT.length },
    { name: 'drive-scsi1', size: 5 * PIECE_LENGTH },
  ];
  const writer = await VmaWriter.open(newArchive({ devices }), digesting);
  await writer.device('drive-scsi0').write(0, CONTENT);
  await writer.close();
  return { sidecar: await digesting.finish(), bytes: sink.bytes() };
}

/** Digests that come later than they were asked for, and not in that order. */
const elsewhere: PieceHasher = {
  allocate: (length) => plainHasher.allocate(length),
  hash: async (bytes) => {
    await setTimeout(bytes[0] === undefined ? 0 : bytes[0] % 3);
    return plainHasher.hash(bytes);
  },
};

describe('the sidecar of an archive', () => {
  let folder: string;
  let golden: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-vma-'));
    golden = textOf((await example()).sidecar);
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('is text that any program can check', () => {
    const sum = (from: number, to: number): string => sha256(CONTENT.subarray(from, to));
    const first = `data 1 0 1048576 ${sum(0, PIECE_LENGTH)}\n`;
    const last = `data 1 3145728 524276 ${sum(3 * PIECE_LENGTH, CONTENT.length)}\n`;
    const own = `${first}zero 1 1048576 2097152\n${last}`;
    const other = 'zero 2 0 5242880\n';
    const text =
      `vbackup sha256s 1\narchive 0d8fc66f-accb-4b1e-8b24-64002cba376f\n` +
      `device 1 3670016 3670004 "drive-scsi0"\n${own}digest 1 ${sha256(Buffer.from(own))}\n` +
      `device 2 5242880 5242880 "drive-scsi1"\n${other}digest 2 ${sha256(Buffer.from(other))}\n`;
    assert.equal(golden, `${text}end ${sha256(Buffer.from(text))}\n`);
    const found = execFileSync('sh', ['-c', "grep -E '^(data|zero) 1 ' | sha256sum"], {
      input: golden,
      encoding: 'utf8',
    });
    assert.ok(golden.includes(`digest 1 ${found.slice(0, 64)}\n`));
  });

  it('comes back the same when it is read, in pieces of any length', () => {
    for (const length of [1, 2, 63, 1000, golden.length]) assert.equal(textOf(decodeText(golden, length)), golden);
  });

  it('is read byte by byte in a time that grows with its length and no faster', () => {
    // A byte of the longest name takes six as JSON. Copying what came at each byte would be 70 GB.
    const name = '\u0001'.repeat(60_000);
    const device = { id: 1, name, size: 512, length: 512, pieces: new PieceDigests() };
    const sidecar: Sidecar = { uuid: TEST_UUID, devices: [device] };
    const text = textOf(sidecar);
    assert.ok(text.length > 360_000);
    assert.equal(decodeText(text, 1).devices[0]?.name, name);
    assert.throws(() => decodeText('x'.repeat(500_000), 1), { code: 'VB_VMA_SIDECAR', message: /a line is too long/ });
  });

  it('is refused when it is cut anywhere, or any character of it is another', () => {
    const refused = { code: 'VB_VMA_SIDECAR' };
    for (let at = 0; at < golden.length; at += 1) {
      assert.throws(() => decodeText(golden.slice(0, at)), refused, `cut at ${at}`);
      const other = golden[at] === 'x' ? 'y' : 'x';
      assert.throws(() => decodeText(golden.slice(0, at) + other + golden.slice(at + 1)), refused, `changed at ${at}`);
    }
    assert.throws(() => decodeText(`${golden}more\n`), refused);
    assert.throws(() => decodeText(`${golden}more`), refused);
    assert.throws(() => decodeText('x'.repeat(1_000_000), 4096), refused);
  });

  /** With an end that matches, so that only the rule itself can refuse it. */
  const sealed = (...lines: readonly string[]): string => {
    const text = ['vbackup sha256s 1', `archive ${'0'.repeat(8)}-0000-0000-0000-${'0'.repeat(12)}`, ...lines]
      .map((line) => `${line}\n`)
      .join('');
    return `${text}end ${sha256(Buffer.from(text))}\n`;
  };
  const withDigest = (device: string, ...lines: readonly string[]): string => {
    const own = sha256(Buffer.from(lines.map((line) => `${line}\n`).join('')));
    return sealed(device, ...lines, `digest 1 ${own}`);
  };
  const SUM = 'a'.repeat(64);
  for (const [why, text] of [
    ['of another version', 'vbackup sha256s 2\n'],
    ['with a gap in a device', withDigest('device 1 2097152 2097152 "d"', `data 1 1048576 1048576 ${SUM}`)],
    ['that does not reach the end of a device', withDigest('device 1 2097152 2097152 "d"', `data 1 0 1048576 ${SUM}`)],
    ['that goes beyond the end of a device', withDigest('device 1 512 512 "d"', 'zero 1 0 1024')],
    ['with a piece that is too long', withDigest('device 1 2097152 2097152 "d"', `data 1 0 2097152 ${SUM}`)],
    ['with a piece that is too short', withDigest('device 1 1024 1024 "d"', 'zero 1 0 512', 'zero 1 512 512')],
    ['with a range of another device', withDigest('device 1 512 512 "d"', 'zero 2 0 512')],
    ['with an empty range', withDigest('device 1 512 512 "d"', 'zero 1 0 0', 'zero 1 0 512')],
    ['with a device that cannot be', withDigest('device 0 512 512 "d"', 'zero 0 0 512')],
    ['with a device larger than any', withDigest('device 1 9999999999999999 512 "d"', 'zero 1 0 512')],
    ['with a name that is none', withDigest('device 1 512 512 "d"x"', 'zero 1 0 512')],
    ['that ends inside of a device', sealed('device 1 512 512 "d"')],
    ['with a device that is not hashed to its last sector', withDigest('device 1 1024 512 "d"', 'zero 1 0 512')],
    ['with a device that is longer than the archive says', withDigest('device 1 512 513 "d"', 'zero 1 0 513')],
    ['with a number that is padded', withDigest('device 1 0512 512 "d"', 'zero 1 0 512')],
  ] as const) {
    it(`is refused ${why}`, () => {
      assert.throws(() => decodeText(text), { code: 'VB_VMA_SIDECAR' });
    });
  }

  it('is accepted in the form that the refused ones have', () => {
    assert.equal(decodeText(withDigest('device 1 512 512 "d"', 'zero 1 0 512')).devices.length, 1);
  });

  it('keeps any name on its line', () => {
    const device = { id: 1, size: 512, length: 512, pieces: new PieceDigests() };
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 50 }), (name) => {
        const sidecar = { uuid: TEST_UUID, devices: [{ ...device, name }] };
        assert.equal(decodeText(textOf(sidecar)).devices[0]?.name, name);
      }),
      { numRuns: 40 },
    );
  });

  it('keeps a name with a line end of Unicode on its line', () => {
    const name = 'a\u2028b\u2029c\u0085';
    const device = { id: 1, name, size: 512, length: 512, pieces: new PieceDigests() };
    assert.equal(decodeText(textOf({ uuid: TEST_UUID, devices: [device] })).devices[0]?.name, name);
  });

  it('has vmstate as long as it is, whatever its size says', () => {
    const device = { id: 1, name: 'vmstate', size: 512, length: 3 * CLUSTER, pieces: new PieceDigests() };
    assert.equal(decodeText(textOf({ uuid: TEST_UUID, devices: [device] })).devices[0]?.length, 3 * CLUSTER);
  });

  it('is the same from what was written, from a stream, from random access, and in the background', async () => {
    for (const { file } of vmaFixtures.valid) {
      const bytes = loadVmaFixture(file);
      const streamed = textOf(await digested(bytes));
      assert.equal(textOf(await digested(bytes, elsewhere)), streamed);
      await using archive = await openVmaArchive(join(VMA_FIXTURES, file));
      assert.equal(textOf(await digestArchive(archive)), streamed, file);
      assert.equal(textOf(await digestArchive(archive, { hasher: elsewhere })), streamed, file);
    }
  });

  it('has the digest of every mebibyte of the golden archives', async () => {
    for (const { file } of vmaFixtures.valid) {
      const bytes = loadVmaFixture(file);
      const { devices } = await digested(bytes);
      const images = decodeArchive(bytes);
      for (const { id, length, pieces } of devices) {
        for (let at = 0; at < length; at += PIECE_LENGTH) {
          const piece = images.image(id).subarray(at, at + PIECE_LENGTH);
          const wanted = piece.every((byte) => byte === 0) ? undefined : sha256(piece);
          assert.equal(pieces.get(at / PIECE_LENGTH), wanted, `${file}, device ${id}, byte ${at}`);
        }
      }
    }
  });

  it('finds the flipped bit that the format cannot see', async () => {
    const expected = await digested(loadVmaFixture('20-corrupt-base.vma'));
    const found = await digested(loadVmaFixture('corrupt/data-bitflip.vma'));
    const [mismatch, ...others] = [...compareSidecars(expected, found)];
    assert.deepEqual(others, []);
    assert.equal(mismatch?.length, PIECE_LENGTH);
    assert.notEqual(deviceDigest(mismatch.device), found.devices.map(deviceDigest)[0]);
    assert.deepEqual([...compareSidecars(expected, expected)], []);
  });

  it('names the ranges that differ, neighbours joined, also where one side is zeros', () => {
    const device = (...data: readonly number[]): Sidecar => {
      const pieces = new PieceDigests();
      for (const index of data) pieces.set(index, createHash('sha256').update(`${index}`).digest());
      return { uuid: TEST_UUID, devices: [{ id: 1, name: 'd', size: 2 ** 40, length: 2 ** 40, pieces }] };
    };
    const ranges = (expected: Sidecar, found: Sidecar): readonly (readonly number[])[] =>
      [...compareSidecars(expected, found)].map(({ offset, length }) => [offset / PIECE_LENGTH, length / PIECE_LENGTH]);
    assert.deepEqual(ranges(device(), device(1, 2, 5, 900_000)), [
      [1, 2],
      [5, 1],
      [900_000, 1],
    ]);
    assert.deepEqual(ranges(device(0, 1023, 1024, 2 ** 20 - 1), device()), [
      [0, 1],
      [1023, 2],
      [2 ** 20 - 1, 1],
    ]);
    assert.deepEqual(ranges(device(7), device(7)), []);
  });

  it('is not compared with another archive', async () => {
    const expected = await digested(loadVmaFixture('01-basic.vma'));
    const found = await digested(loadVmaFixture('05-allzero.vma'));
    assert.throws(() => [...compareSidecars(expected, found)], { code: 'VB_VMA_SIDECAR' });
  });

  it('costs no time and no line for zeros: a device of 256 TiB', async () => {
    const pieces = new PieceDigests();
    pieces.set(2 ** 28 - 1, Buffer.alloc(32, 7));
    const sidecar = { uuid: TEST_UUID, devices: [{ id: 1, name: 'd', size: 2 ** 48, length: 2 ** 48, pieces }] };
    const text = textOf(sidecar);
    assert.equal(text.split('\n').length, 8);
    assert.equal(textOf(decodeText(text)), text);
    assert.deepEqual([...compareSidecars(sidecar, decodeText(text))], []);
  });

  it('costs memory for what it has, also when it has little in many places', () => {
    const pieces = new PieceDigests();
    const before = process.memoryUsage().arrayBuffers;
    const indexes = Array.from({ length: 20_000 }, (_, index) => index * 5000 + (index % 97));
    for (const index of indexes) pieces.set(index, Buffer.alloc(32, 1 + (index % 251)));
    const grown = process.memoryUsage().arrayBuffers - before;
    assert.ok(grown < 64 * 1024 * 1024, `${grown} bytes for 20,000 digests`);
    assert.equal(pieces.count, indexes.length);
    for (const index of indexes) {
      assert.equal(pieces.get(index), Buffer.alloc(32, 1 + (index % 251)).toString('hex'));
      assert.equal(pieces.get(index + 1), undefined);
    }
  });

  it('says so when clusters are too far out of order for it, and then comes from random access', async () => {
    const sink = new LateSink();
    const size = 80 * PIECE_LENGTH;
    const digesting = new DigestingSink(new LateSink());
    const fill = async (writer: VmaWriter): Promise<void> => {
      for (let at = 0; at < size; at += PIECE_LENGTH) await writer.device('d').write(at, Buffer.alloc(CLUSTER, 1));
      await writer.close();
    };
    const archive = newArchive({ devices: [{ name: 'd', size }] });
    const refused = VmaWriter.open(archive, digesting).then(fill);
    await assert.rejects(refused, { code: 'VB_UNSUPPORTED' });
    await fill(await VmaWriter.open(archive, sink));
    const path = join(folder, 'shuffled.vma');
    await writeFile(path, sink.bytes());
    await using open = await openVmaArchive(path);
    assert.equal((await digestArchive(open)).devices[0]?.pieces.count, 80);
  });

  it('does not depend on what was in the memory of its pieces', async () => {
    const size = 3 * PIECE_LENGTH + 512;
    const content = Buffer.alloc(size);
    // Behind zero clusters, between zero blocks, before zero clusters, and where the device ends in a block.
    for (const at of [5 * CLUSTER + 8192, PIECE_LENGTH, 2 * PIECE_LENGTH - 4096, size - 512])
      content.fill(at % 251, at, at + 512);
    const archive = await archiveOf({ size }, (device) => device.write(0, content));
    const dirty: PieceHasher = { ...plainHasher, allocate: (length) => Buffer.alloc(length, 0xee) };
    const [device] = (await digested(archive, dirty)).devices;
    for (let piece = 0; piece < 4; piece += 1) {
      const bytes = content.subarray(piece * PIECE_LENGTH, (piece + 1) * PIECE_LENGTH);
      const expected = bytes.some((byte) => byte !== 0) ? createHash('sha256').update(bytes).digest('hex') : undefined;
      assert.equal(device?.pieces.get(piece), expected, `piece ${piece}`);
    }
  });

  it('is a file that replaces the one before it, in one step', async () => {
    const place = await mkdtemp(join(folder, 'files-'));
    const path = join(place, 'guest.vma.sha256s');
    assert.equal(await readSidecar(path), null);
    const { sidecar } = await example();
    await writeFile(path, 'the old one');
    await assert.rejects(() => readSidecar(path), { code: 'VB_VMA_SIDECAR' });
    await writeSidecar(path, sidecar);
    assert.deepEqual(await readdir(place), ['guest.vma.sha256s']);
    assert.equal(await readFile(path, 'utf8'), golden);
    const read = await readSidecar(path);
    assert.equal(read === null ? '' : textOf(read), golden);
  });
});
