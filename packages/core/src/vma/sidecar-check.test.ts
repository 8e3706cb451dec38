import assert from 'node:assert/strict';
import { loadVmaFixture, VMA_FIXTURES, vmaFixtures } from '../testing/vma-fixture.js';
import { TEST_UUID } from '../testing/vma-sink.js';
import { MAX_KEPT_DAMAGES } from './damage.js';
import { digestArchive } from './digest-archive.js';
import { PIECE_LENGTH, PieceDigests } from './piece-digests.js';
import { openVmaArchive } from './random-access.js';
import type { Sidecar } from './sidecar.js';
import { sidecarChecks } from './sidecar-check.js';
import type { VmaReport } from './verification.js';
import { type VerifySource, verifyArchive } from './verify.js';

async function sidecarOf(file: string): Promise<Sidecar> {
  await using archive = await openVmaArchive(`${VMA_FIXTURES}${file}`);
  return await digestArchive(archive);
}

const verify = (source: VerifySource, sidecar: Sidecar): Promise<VmaReport> =>
  verifyArchive(source, { mode: 'headers', checks: (header) => sidecarChecks(sidecar, header) });

async function* inPieces(bytes: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += 10_007) yield await Promise.resolve(bytes.subarray(at, at + 10_007));
}

describe('a VMA archive beside its sidecar', () => {
  for (const { file } of vmaFixtures.valid) {
    it(`${file} is what its sidecar says`, async () => {
      const sidecar = await sidecarOf(file);
      for (const source of [{ path: `${VMA_FIXTURES}${file}` }, { stream: inPieces(loadVmaFixture(file)) }]) {
        const { damageCount } = await verify(source, sidecar);
        assert.equal(damageCount, 0);
      }
    });
  }

  it('with a flipped bit, which the format cannot tell, has a damage with the range', async () => {
    const sidecar = await sidecarOf('20-corrupt-base.vma');
    for (const stream of [false, true]) {
      const path = `${VMA_FIXTURES}corrupt/data-bitflip.vma`;
      const source = stream ? { stream: inPieces(loadVmaFixture('corrupt/data-bitflip.vma')) } : { path };
      const { damages, damageCount } = await verify(source, sidecar);
      assert.equal(damageCount, 1);
      assert.equal(damages[0]?.code, 'VB_VMA_DIGEST');
      assert.match(
        damages[0].message,
        /^device 1 \("drive-scsi0"\) is not what the sidecar says, in its bytes \d+ to \d+$/,
      );
    }
  });

  it('is not the one of a sidecar with another uuid, or with devices that it does not have', async () => {
    const sidecar = await sidecarOf('01-basic.vma');
    const other = { path: `${VMA_FIXTURES}04-tails.vma` };
    await assert.rejects(verify(other, sidecar), { code: 'VB_VMA_SIDECAR' });
    const same = await sidecarOf('04-tails.vma');
    const devices = sidecar.devices.map((device) => ({ ...device, id: 1 }));
    await assert.rejects(verify(other, { ...same, devices }), { code: 'VB_VMA_SIDECAR' });
    // What is not named would not be checked, and would seem to be.
    const fewer = same.devices.slice(1);
    await assert.rejects(verify(other, { ...same, devices: fewer }), { code: 'VB_VMA_SIDECAR' });
  });

  it('with data where zeros should be, or zeros where data should be, has a damage', async () => {
    const [data, zeros] = [await sidecarOf('01-basic.vma'), await sidecarOf('05-allzero.vma')];
    const swap = (sidecar: Sidecar, pieces: Sidecar): Sidecar => ({
      ...sidecar,
      devices: sidecar.devices.map((device, at) => ({
        ...device,
        pieces: pieces.devices[at]?.pieces ?? device.pieces,
      })),
    });
    const found = await verify({ path: `${VMA_FIXTURES}01-basic.vma` }, swap(data, zeros));
    assert.deepEqual(found.damages[0]?.clusters, { first: 0, end: 16 });
    assert.equal((await verify({ path: `${VMA_FIXTURES}05-allzero.vma` }, swap(zeros, data))).damageCount, 1);
  });

  it('of which nothing is right has its damages counted, and few of them kept', () => {
    const pieces = new PieceDigests();
    const count = 5000;
    for (let index = 0; index < count; index += 2) pieces.set(index, Buffer.alloc(32, 1));
    const device = { id: 1, name: 'd', size: count * PIECE_LENGTH, length: count * PIECE_LENGTH, pieces };
    const header = { uuid: TEST_UUID, ctime: 0, length: 12_800, configs: [], devices: [device] };
    const [check] = sidecarChecks({ uuid: TEST_UUID, devices: [device] }, header);
    const zeros = Buffer.alloc(PIECE_LENGTH);
    for (let index = 0; index < count; index += 1) check?.update(zeros);
    const damages = check?.finish();
    assert.equal(damages?.count, count / 2);
    assert.equal(damages.kept.length, MAX_KEPT_DAMAGES);
  });
});
