import assert from 'node:assert/strict';
import { MAX_META_LENGTH, parseMeta, type StreamMeta } from './meta.js';

const parse = (meta: object): StreamMeta => parseMeta(Buffer.from(JSON.stringify(meta)), 40);
const least = { virtualSize: 10, dataSize: 5, diskName: 'vda' };

describe('parseMeta', () => {
  it('reads the spelling of the first releases', () => {
    const meta = parse({
      'virtual-size': 10,
      'data-size': 5,
      disk_name: 'sda',
      disk_uuid: 'ignored',
      date: '2020-11-01T10:00:00',
      checkpointName: 'virtnbdbackup.0',
      parentCheckpoint: false,
      incremental: false,
      'stream-version': 1,
    });
    assert.deepEqual(meta, {
      virtualSize: 10,
      dataSize: 5,
      date: '2020-11-01T10:00:00',
      diskName: 'sda',
      diskFormat: undefined,
      checkpointName: 'virtnbdbackup.0',
      parentCheckpoint: '',
      incremental: false,
      streamVersion: 1,
      compressed: false,
      vbackup: undefined,
    });
  });

  it('counts any value but false as compressed, and only in version 2', () => {
    for (const [streamVersion, compressed, expected] of [
      [2, false, false],
      [2, 0, true],
      [2, 9, true],
      [2, true, true],
      [1, true, false],
    ] as const) {
      assert.equal(
        parse({ ...least, streamVersion, compressed }).compressed,
        expected,
        `${streamVersion} ${compressed}`,
      );
    }
  });

  it('takes extra keys of any kind', () => {
    assert.equal(parse({ ...least, extra: { deep: [1] } }).diskName, 'vda');
  });

  it('takes a __proto__ key for what it is', () => {
    const json = `{"virtualSize": 10, "dataSize": 5, "diskName": "vda", "__proto__": {"incremental": true}}`;
    assert.equal(parseMeta(Buffer.from(json), 40).incremental, false);
  });

  const faults: readonly (readonly [string, object])[] = [
    ['a fraction of a byte', { ...least, virtualSize: 0.5 }],
    ['a size that is text', { ...least, virtualSize: '10' }],
    ['a disk without a name', { virtualSize: 10, dataSize: 5 }],
    ['a link that is not one', { ...least, vbackup: { id: 7, parent: null } }],
    ['a list', [least]],
  ];
  for (const [name, meta] of faults) {
    it(`refuses ${name}`, () => assert.throws(() => parse(meta), { code: 'VB_SPARSE_META', offset: 40 }));
  }

  it('reads the longest META', () => {
    const pad = ' '.repeat(MAX_META_LENGTH - JSON.stringify(least).length);
    assert.equal(parseMeta(Buffer.from(JSON.stringify(least) + pad), 40).virtualSize, 10);
  });
});
