import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ErrorCode } from '../errors/index.js';
import { loadVmaFixture, vmaFixtures } from '../testing/vma-fixture.js';
import { newArchive, TEST_CTIME, TEST_UUID } from '../testing/vma-sink.js';
import { decodeHeader } from './header-decode.js';
import { encodeHeader } from './header-encode.js';
import type { NewVmaArchive } from './specification.js';
import { VMA_MAX_DEVICE_SIZE } from './words.js';

const configs = (count: number, length = 0): NewVmaArchive['configs'] =>
  Array.from({ length: count }, (_, index) => ({ name: `${index}`, content: Buffer.alloc(length) }));
const devices = (count: number): NewVmaArchive['devices'] =>
  Array.from({ length: count }, (_, index) => ({ name: `drive-scsi${index}`, size: 512 }));
const device = (name: string, size = 512): Partial<NewVmaArchive> => ({ devices: [{ name, size }] });
const config = (name: string): Partial<NewVmaArchive> => ({ configs: [{ name, content: Buffer.alloc(0) }] });

const LONG_NAME = 'n'.repeat(256);

const REFUSED: readonly [why: string, archive: Partial<NewVmaArchive>, code: ErrorCode][] = [
  ['257 configurations', { configs: configs(257) }, 'VB_VMA_LIMIT'],
  ['a configuration of 65,536 bytes', { configs: configs(1, 65_536) }, 'VB_VMA_LIMIT'],
  ['255 devices', { devices: devices(255) }, 'VB_VMA_LIMIT'],
  ['a header beyond 524,288 bytes', { configs: configs(8, 65_535) }, 'VB_VMA_LIMIT'],
  ['a device of no bytes', device('drive-scsi0', 0), 'VB_VMA_LIMIT'],
  ['memory of no bytes', device('vmstate', 0), 'VB_VMA_LIMIT'],
  ['a device beyond 2^32 clusters', device('drive-scsi0', VMA_MAX_DEVICE_SIZE + 1), 'VB_VMA_LIMIT'],
  ['a device of less than no bytes', device('drive-scsi0', -512), 'VB_INVALID_ARGUMENT'],
  ['a device of half a byte', device('drive-scsi0', 0.5), 'VB_INVALID_ARGUMENT'],
  ['a device with a blank in its name', device('drive scsi0'), 'VB_VMA_UNSAFE_NAME'],
  ['a device with another white space in its name', device('drive\u00a0scsi0'), 'VB_VMA_UNSAFE_NAME'],
  ['a device with a slash in its name', device('a/b'), 'VB_VMA_UNSAFE_NAME'],
  ['a device without a name', device(''), 'VB_VMA_UNSAFE_NAME'],
  ['a device with a line end in its name', device('a\n'), 'VB_VMA_UNSAFE_NAME'],
  ['a device with a zero byte in its name', device('a\0'), 'VB_VMA_UNSAFE_NAME'],
  ['a device that Proxmox cannot extract to tmp-disk-….raw', device('d'.repeat(243)), 'VB_VMA_UNSAFE_NAME'],
  ['two devices of one name', { devices: [...devices(1), ...devices(1)] }, 'VB_VMA_DUPLICATE_NAME'],
  ['a configuration that would leave its folder', config('../qemu-server.conf'), 'VB_VMA_UNSAFE_NAME'],
  ['a configuration called ..', config('..'), 'VB_VMA_UNSAFE_NAME'],
  ['a configuration with a name that no file can have', config(LONG_NAME), 'VB_VMA_UNSAFE_NAME'],
  ['two configurations of one name', { configs: [...configs(1), ...configs(1)] }, 'VB_VMA_DUPLICATE_NAME'],
  ['a UUID of 15 bytes', { uuid: TEST_UUID.subarray(1) }, 'VB_INVALID_ARGUMENT'],
  ['a time between two seconds', { ctime: 0.5 }, 'VB_INVALID_ARGUMENT'],
];

describe('encodeHeader', () => {
  for (const fixture of vmaFixtures.valid) {
    const { uuid, headerLength } = fixture;
    if (uuid === undefined || headerLength === undefined || fixture.file === '09-names.vma') continue;
    it(`writes the header of ${fixture.file} to the byte`, () => {
      const golden = loadVmaFixture(fixture.file);
      const { header } = decodeHeader(golden.subarray(0, headerLength));
      assert.deepEqual(encodeHeader(header), golden.subarray(0, headerLength));
    });
  }

  for (const [why, archive, code] of REFUSED) {
    it(`refuses ${why}`, () => {
      assert.throws(() => encodeHeader(newArchive(archive)), { code });
    });
  }

  it('takes as much as the format and Proxmox do', () => {
    const largest = newArchive({ configs: configs(256), devices: devices(254) });
    const { header, warnings } = decodeHeader(encodeHeader(largest));
    assert.equal(header.configs.length, 256);
    assert.equal(header.devices.at(-1)?.id, 254);
    assert.deepEqual(warnings, []);
    assert.equal(decodeHeader(encodeHeader(newArchive({ configs: configs(1, 65_535) }))).header.configs.length, 1);
    const widest = newArchive(device('drive-scsi0', VMA_MAX_DEVICE_SIZE));
    assert.equal(decodeHeader(encodeHeader(widest)).header.devices[0]?.size, VMA_MAX_DEVICE_SIZE);
    const filledBy = (length: number): NewVmaArchive =>
      newArchive({ configs: [...configs(7, 65_535), { name: 'z', content: Buffer.alloc(length) }] });
    assert.equal(encodeHeader(filledBy(49_150)).length, 524_288);
    assert.throws(() => encodeHeader(filledBy(49_151)), { code: 'VB_VMA_LIMIT' });
  });

  it('names whole sectors, and says what the time is before 1970 and far from now', () => {
    const odd = decodeHeader(encodeHeader(newArchive(device('drive-scsi0', 1000))));
    assert.equal(odd.header.devices[0]?.size, 1024);
    assert.deepEqual(odd.warnings, []);
    for (const ctime of [-1, 0, 2 ** 33]) {
      assert.equal(decodeHeader(encodeHeader(newArchive({ ctime }))).header.ctime, ctime);
    }
  });

  it('is what the decoder reads', () => {
    const name = fc.stringMatching(/^[a-zé][a-z0-9.é-]{0,30}$/);
    const entry = fc.record({ name, content: fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)) });
    const disk = fc.record({ name, size: fc.integer({ min: 1, max: 2 ** 48 / 512 }).map((sectors) => sectors * 512) });
    const archive = fc.record({
      uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
      ctime: fc.integer({ min: 0, max: 2 ** 40 }),
      configs: fc.uniqueArray(entry, { selector: (value) => value.name, maxLength: 60 }),
      devices: fc.uniqueArray(disk, { selector: (value) => value.name, maxLength: 60 }),
    });
    fc.assert(
      fc.property(archive, (wanted) => {
        const bytes = encodeHeader(wanted);
        assert.equal(bytes.length % 512, 0);
        const { header, warnings } = decodeHeader(bytes);
        assert.deepEqual(warnings, []);
        assert.deepEqual(header, {
          uuid: wanted.uuid,
          ctime: wanted.ctime,
          length: bytes.length,
          configs: wanted.configs.map(({ name: config, content }) => ({ name: config, content })),
          devices: wanted.devices.map((value, index) => ({ id: index + 1, ...value })),
        });
      }),
      { numRuns: 200 },
    );
  });

  it('has the time of the test archive in seconds, whatever the time zone is', () => {
    assert.equal(encodeHeader(newArchive({})).readBigInt64BE(24), BigInt(TEST_CTIME));
  });
});
