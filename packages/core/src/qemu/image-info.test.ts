import assert from 'node:assert/strict';
import { parseImageInfo } from './image-info.js';

const QCOW2 = {
  'virtual-size': 16_777_216,
  filename: 'a.qcow2',
  'cluster-size': 65_536,
  format: 'qcow2',
  'actual-size': 2_514_944,
  'format-specific': {
    type: 'qcow2',
    data: {
      compat: '1.1',
      'lazy-refcounts': true,
      'refcount-bits': 16,
      bitmaps: [
        { flags: ['auto'], name: 'b0', granularity: 65_536 },
        { flags: ['in-use'], name: 'b1', granularity: 4096 },
      ],
    },
  },
  'dirty-flag': false,
};

describe('parseImageInfo', () => {
  it('reads what qemu-img prints of a qcow2 with bitmaps', () => {
    assert.deepEqual(parseImageInfo(JSON.stringify(QCOW2), 'a'), {
      format: 'qcow2',
      virtualSize: 16_777_216,
      backingFile: null,
      backingPath: null,
      backingFormat: null,
      dataFile: null,
      encrypted: false,
      clusterSize: 65_536,
      qcow2: { compat: '1.1', lazyRefcounts: true, extendedL2: false, refcountBits: 16, compression: 'zlib' },
      bitmaps: [
        { name: 'b0', granularity: 65_536, auto: true, inUse: false },
        { name: 'b1', granularity: 4096, auto: false, inUse: true },
      ],
    });
  });

  it('reads backing file, data file and encryption', () => {
    const text = JSON.stringify({
      format: 'qcow2',
      'virtual-size': 0,
      'backing-filename': 'base.qcow2',
      encrypted: true,
      'format-specific': { type: 'qcow2', data: { 'data-file': 'data.raw' } },
    });
    const { backingFile, dataFile, encrypted } = parseImageInfo(text, 'a');
    assert.deepEqual([backingFile, dataFile, encrypted], ['base.qcow2', 'data.raw', true]);
  });

  it('says nothing of clusters of a raw disk', () => {
    const { clusterSize, qcow2 } = parseImageInfo('{"format":"raw","virtual-size":1}', 'a');
    assert.deepEqual([clusterSize, qcow2], [null, null]);
  });

  for (const [what, text] of [
    ['nothing', ''],
    ['half an answer', '{"format": "raw"'],
    ['no size', '{"format": "raw"}'],
    ['a size beyond what is exact', '{"format": "raw", "virtual-size": 9007199254740993}'],
    ['a negative size', '{"format": "raw", "virtual-size": -1}'],
    ['a granularity of nothing', JSON.stringify(QCOW2).replace('4096', '0')],
  ] as const) {
    it(`refuses ${what}`, () => assert.throws(() => parseImageInfo(text, 'a'), { code: 'VB_QEMU_FAILED' }));
  }
});
