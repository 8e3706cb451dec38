import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { zstdDecompressSync } from 'node:zlib';
import type { ErrorCode } from '../errors/index.js';
import { requireTools } from '../testing/tools.js';
import { decodeArchive } from '../testing/vma-archive.js';
import { newArchive } from '../testing/vma-sink.js';
import { type FileOutputOptions, openArchiveOutput, streamArchiveOutput } from './archive-output.js';
import type { VmaSink } from './extent-output.js';
import { VMA_CLUSTER_LENGTH as CLUSTER } from './words.js';
import { VmaWriter } from './writer.js';

const CONTENT = Buffer.alloc(200 * CLUSTER, 'something that compresses well, and not by zeros alone ');

async function writeTo(sink: VmaSink): Promise<void> {
  const writer = await VmaWriter.open(newArchive({ devices: [{ name: 'drive-scsi0', size: CONTENT.length }] }), sink);
  for (let at = 0; at < CONTENT.length; at += 10 * CLUSTER) {
    await writer.device('drive-scsi0').write(at, CONTENT.subarray(at, at + 10 * CLUSTER));
  }
  await writer.close();
}

describe('the output of an archive', () => {
  let folder: string;
  const inFolder = (name: string): string => join(folder, name);
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vbackup-vma-'));
  });
  afterEach(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const writeFileArchive = async (options: FileOutputOptions): Promise<number> => {
    await using output = await openArchiveOutput(options);
    await writeTo(output);
    return await output.finish();
  };

  it('is a file that is called .partial, or what Proxmox calls it, until it is complete', async () => {
    for (const [partial, name] of [
      ['partial', 'guest.vma.zst.partial'],
      ['pve', 'guest.vma.dat'],
    ] as const) {
      const path = inFolder('guest.vma.zst');
      await using output = await openArchiveOutput({ path, partial });
      await writeTo(output);
      assert.deepEqual(await readdir(folder), [name]);
      const length = await output.finish();
      assert.deepEqual(await readdir(folder), ['guest.vma.zst']);
      const bytes = await readFile(path);
      assert.equal(bytes.length, length);
      assert.ok(decodeArchive(bytes).image(1).equals(CONTENT));
      await rm(path);
    }
  });

  it('has another name until it is complete, also where it ends as what Proxmox has not completed', async () => {
    const path = inFolder('guest.dat');
    await using output = await openArchiveOutput({ path, partial: 'pve' });
    await writeTo(output);
    assert.deepEqual(await readdir(folder), ['guest.dat.partial']);
    await output.finish();
    assert.deepEqual(await readdir(folder), ['guest.dat']);
  });

  it('is compressed as the zstd program does it, with a checksum', async function () {
    requireTools(this, ['zstd']);
    const path = inFolder('guest.vma.zst');
    const length = await writeFileArchive({ path, compression: 'zstd' });
    const bytes = await readFile(path);
    assert.equal(bytes.length, length);
    assert.ok(bytes.length < CONTENT.length / 100);
    assert.ok(decodeArchive(zstdDecompressSync(bytes)).image(1).equals(CONTENT));
    const restored = execFileSync('zstd', ['-q', '-d', '-c', path], { maxBuffer: 2 * CONTENT.length });
    assert.ok(decodeArchive(restored).image(1).equals(CONTENT));
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) + 1, bytes.length - 1);
    assert.throws(() => zstdDecompressSync(bytes));
  });

  it('leaves nothing when it is not finished, compressed or not', async () => {
    for (const compression of ['none', 'zstd'] as const) {
      const path = inFolder('guest.vma');
      {
        await using output = await openArchiveOutput({ path, compression });
        await writeTo(output);
      }
      assert.deepEqual(await readdir(folder), []);
    }
  });

  it('replaces an archive only by force, and only by a complete one', async () => {
    const path = inFolder('guest.vma');
    await writeFile(path, 'the old one');
    const refused: { readonly code: ErrorCode } = { code: 'VB_TARGET_EXISTS' };
    await assert.rejects(() => openArchiveOutput({ path }), refused);
    {
      await using output = await openArchiveOutput({ path, force: true });
      await writeTo(output);
    }
    assert.equal(await readFile(path, 'utf8'), 'the old one');
    await writeFileArchive({ path, force: true });
    assert.ok(
      decodeArchive(await readFile(path))
        .image(1)
        .equals(CONTENT),
    );
  });

  it('does not replace a file that took the name meanwhile', async () => {
    const path = inFolder('guest.vma');
    {
      await using output = await openArchiveOutput({ path });
      await writeTo(output);
      await writeFile(path, 'another');
      await assert.rejects(() => output.finish(), { code: 'VB_TARGET_EXISTS' });
    }
    assert.deepEqual(await readdir(folder), ['guest.vma']);
    assert.equal(await readFile(path, 'utf8'), 'another');
  });

  it('does not write where another run does, and refuses what is no file', async () => {
    const path = inFolder('guest.vma');
    {
      await using _first = await openArchiveOutput({ path });
      await assert.rejects(() => openArchiveOutput({ path }), { code: 'VB_TARGET_EXISTS' });
    }
    await mkdir(path);
    await assert.rejects(() => openArchiveOutput({ path }), { code: 'VB_TARGET_INVALID' });
    await assert.rejects(() => openArchiveOutput({ path: inFolder('none/guest.vma') }), { code: 'VB_IO' });
  });

  it('names the file that a dead run left, does not touch it by force, and goes on when it is gone', async () => {
    const path = inFolder('guest.vma.zst');
    for (const [partial, name] of [
      ['partial', 'guest.vma.zst.partial'],
      ['pve', 'guest.vma.dat'],
    ] as const) {
      const leftover = inFolder(name);
      await writeFile(leftover, 'unfinished');
      for (const force of [false, true]) {
        await assert.rejects(() => openArchiveOutput({ path, partial, force }), {
          code: 'VB_TARGET_EXISTS',
          message: `${leftover} exists`,
          cure: `another run writes there, or one died: wait for it, or remove ${leftover} if none does`,
        });
      }
      assert.equal(await readFile(leftover, 'utf8'), 'unfinished');
      await rm(leftover);
      await using output = await openArchiveOutput({ path, partial, force: true });
      await writeTo(output);
      await output.finish();
      assert.deepEqual(await readdir(folder), ['guest.vma.zst']);
      await rm(path);
    }
  });

  it('goes to a stream no faster than it is read, compressed or not', async () => {
    for (const compression of ['none', 'zstd'] as const) {
      const stream = new PassThrough({ highWaterMark: 1024 });
      const output = streamArchiveOutput(stream, { compression });
      let done = false;
      const work = writeTo(output)
        .then(() => output.finish())
        .then((length) => {
          done = true;
          stream.end();
          return length;
        });
      await delay(20);
      assert.equal(done, false);
      const chunks: Buffer[] = [];
      for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      assert.equal(await work, bytes.length);
      const archive = compression === 'none' ? bytes : zstdDecompressSync(bytes);
      assert.ok(decodeArchive(archive).image(1).equals(CONTENT));
    }
  });

  it('ends with what the stream says, compressed or not, and does not wait for ever', async () => {
    for (const compression of ['none', 'zstd'] as const) {
      const broken = new Writable({
        write: (_chunk, _encoding, done) => done(Object.assign(new Error('gone'), { code: 'EPIPE' })),
      });
      await using output = streamArchiveOutput(broken, { compression });
      const work = async (): Promise<void> => {
        await writeTo(output);
        await output.finish();
      };
      await assert.rejects(work, { code: 'VB_IO', message: /EPIPE/ });
    }
  });

  it('stops waiting for a reader that does not read when it is told to', async () => {
    const stop = new AbortController();
    const stuck = new Writable({ write: () => undefined });
    const output = streamArchiveOutput(stuck, { signal: stop.signal });
    const work = writeTo(output);
    setImmediate(() => stop.abort());
    await assert.rejects(work, { name: 'AbortError' });
  });
});
