import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readUInt64BE } from '../bytes/index.js';
import { NbdFixture, requireNbdServers } from '../testing/index.js';
import { NbdClient } from './client.js';

const MiB = 1024 * 1024;
const KiB64 = 64 * 1024;

const connect = (fixture: NbdFixture): Promise<NbdClient> =>
  NbdClient.connect({ address: fixture.address, exportName: '' });

/** Every 8 bytes of nbdkit's pattern are their own offset. */
const isPattern = (bytes: Buffer, offset: number): boolean =>
  Array.from({ length: bytes.length / 8 }, (_, index) => index * 8).every(
    (at) => readUInt64BE(bytes, at) === offset + at,
  );

describe('NbdClient against servers with moods', () => {
  before(function () {
    requireNbdServers(this);
  });

  it('calls everything data where the server knows no extents', async () => {
    await using fixture = await NbdFixture.start('no-extents');
    await using client = await connect(fixture);
    const extents = [];
    for await (const extent of client.allocation?.({ offset: 0, length: client.size }) ?? []) extents.push(extent);
    assert.deepEqual(extents, [{ offset: 0, length: MiB, kind: 'data' }]);
  });

  it('reads and writes up to an end that the server made up', async () => {
    await using fixture = await NbdFixture.start('truncate');
    await using client = await connect(fixture);
    assert.equal(client.size, 3 * MiB);
    await client.write(MiB - 4096, Buffer.alloc(4096, 7));
    const back = Buffer.alloc(3 * MiB, 1);
    await client.read(0, back);
    assert.ok(back.subarray(MiB - 4096, MiB).every((byte) => byte === 7));
    assert.ok(back.subarray(MiB).every((byte) => byte === 0));
    await assert.rejects(client.write(2 * MiB, Buffer.alloc(4096, 7)), { code: /^VB_/ });
    await client.read(0, back);
  });

  it('gives a sparse disk back as it was read, or the server says so', async () => {
    await using fixture = await NbdFixture.start('sparse-random');
    await using client = await connect(fixture);
    const bytes = Buffer.alloc(KiB64);
    let data = 0;
    for await (const { kind, offset } of client.allocation?.({ offset: 0, length: 256 * MiB }) ?? []) {
      if (kind !== 'data') continue;
      await client.read(offset, bytes);
      await client.write(offset, bytes);
      bytes.writeUInt8((bytes.readUInt8(1000) + 1) % 256, 1000);
      await assert.rejects(client.write(offset, bytes), { code: 'VB_NBD_REQUEST_FAILED' });
      data += 1;
    }
    assert.ok(data > 0);
  });

  it('reads on when the disk can be read again', async () => {
    await using fixture = await NbdFixture.start('eio');
    await using client = await connect(fixture);
    const bytes = Buffer.alloc(KiB64);
    await client.read(0, bytes);
    await writeFile(join(fixture.folder, 'fail'), '');
    await assert.rejects(client.read(0, bytes), { code: 'VB_NBD_REQUEST_FAILED' });
    await rm(join(fixture.folder, 'fail'));
    await client.read(KiB64, bytes);
    assert.ok(isPattern(bytes, KiB64));
  });

  it('fails only the requests that failed, and fills the others with their own bytes', async () => {
    await using fixture = await NbdFixture.start('eio-at-random');
    await using client = await connect(fixture);
    const reads = Array.from({ length: 256 }, async (_, index) => {
      const offset = (index % 64) * KiB64;
      const bytes = Buffer.alloc(KiB64);
      try {
        await client.read(offset, bytes);
      } catch (error) {
        assert.ok(error instanceof Error && 'code' in error && error.code === 'VB_NBD_REQUEST_FAILED', String(error));
        return 'failed';
      }
      assert.ok(isPattern(bytes, offset));
      return 'read';
    });
    assert.deepEqual(new Set(await Promise.all(reads)), new Set(['failed', 'read']));
  });

  it('does not confuse many requests that a slow server holds at once', async () => {
    await using fixture = await NbdFixture.start('slow');
    await using client = await connect(fixture);
    const reads = Array.from({ length: 128 }, async (_, index) => {
      const bytes = Buffer.alloc(KiB64);
      await client.read(index * KiB64, bytes);
      return isPattern(bytes, index * KiB64);
    });
    assert.ok((await Promise.all(reads)).every(Boolean));
  });
});
