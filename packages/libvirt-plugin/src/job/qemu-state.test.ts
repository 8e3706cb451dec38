import assert from 'node:assert/strict';
import { endingOf, type LostJob, parseAnswer, parseState, type QemuState } from './qemu-state.js';

const SCRATCH = '/var/tmp/vbackup-01234567-01m7zp0mg4ws9f9705h8twxzkd.vda.scratch';
const CHECKPOINT = 'vbackup-01234567-01m7zp0mg4ws9f9705h8twxzkd';
const JOB: LostJob = { scratches: [SCRATCH], bitmap: CHECKPOINT };

const node = (name: string, file: string, ...bitmaps: readonly (string | undefined)[]): QemuState['nodes'][number] => ({
  'node-name': name,
  file,
  'dirty-bitmaps': bitmaps.map((each) => ({ name: each })),
});
const disk = (...bitmaps: readonly (string | undefined)[]): QemuState['nodes'][number] =>
  node('libvirt-1-format', '/images/web.qcow2', ...bitmaps);
const storage = node('libvirt-7-storage', SCRATCH);
const state = (parts: Partial<QemuState>): QemuState => ({ nodes: [], jobs: [], exports: [], ...parts });
const words = (told: QemuState, job: LostJob = JOB): readonly string[] =>
  endingOf(job, told).map(({ execute, values = {} }) => [execute, ...Object.values(values)].join(' '));

describe('what ends a job that libvirt lost', () => {
  it('is first what uses the scratch image, then the image and the bitmap of the checkpoint', () => {
    const told = state({
      nodes: [
        disk(undefined, CHECKPOINT, 'vbackup-01234567-older'),
        storage,
        node('libvirt-7-format', SCRATCH, 'backup-vda'),
      ],
      jobs: [
        { id: 'backup-vda-libvirt-1-format', type: 'backup', status: 'running' },
        { id: 'create-libvirt-7-format', type: 'create', status: 'concluded' },
      ],
      exports: [{ id: 'libvirt-nbd-libvirt-7-format', 'node-name': 'libvirt-7-format' }],
    });
    assert.deepEqual(words(told), [
      'block-export-del libvirt-nbd-libvirt-7-format hard',
      'job-cancel backup-vda-libvirt-1-format',
      'job-dismiss create-libvirt-7-format',
    ]);
    assert.deepEqual(words(state({ nodes: told.nodes })), [
      'blockdev-del libvirt-7-format',
      'blockdev-del libvirt-7-storage',
      `block-dirty-bitmap-remove libvirt-1-format ${CHECKPOINT}`,
    ]);
  });

  it('knows a scratch image whose backing was given to it by its options', () => {
    const options = `json:{"driver": "qcow2", "file": {"driver": "file", "filename": ${JSON.stringify(SCRATCH)}}}`;
    assert.deepEqual(words(state({ nodes: [node('libvirt-7-format', options)] })), ['blockdev-del libvirt-7-format']);
  });

  for (const [what, told, job] of [
    ['where nothing is left', state({ nodes: [disk('vbackup-01234567-older')] }), JOB],
    ['of a checkpoint that libvirt knows', state({ nodes: [disk(CHECKPOINT)] }), { ...JOB, bitmap: null }],
    ['of the bitmap of a job, which has no name', state({ nodes: [disk(undefined)] }), { ...JOB, bitmap: null }],
    [
      'of jobs, exports and images of others',
      state({
        nodes: [disk(), node('libvirt-8-storage', '/var/tmp/other.scratch')],
        jobs: [
          { id: 'backup-vda-libvirt-1-format', type: 'backup', status: 'running' },
          { id: 'create-libvirt-8-format', type: 'create', status: 'running' },
        ],
        exports: [{ id: 'theirs', 'node-name': 'libvirt-8-format' }],
      }),
      JOB,
    ],
    [
      'of the mirror of a disk, beside a scratch image',
      state({ nodes: [disk()], jobs: [{ id: 'copy-vda-libvirt-1-format', type: 'mirror', status: 'ready' }] }),
      JOB,
    ],
  ] as const) {
    it(`is nothing ${what}`, () => assert.deepEqual(words(told, job), []));
  }

  for (const [what, text] of [
    ['no JSON', 'error: what'],
    ['nothing', ''],
    ['a list', '[]'],
    ['an error', '{"error":{"class":"GenericError","desc":"Node is in use"}}'],
  ] as const) {
    it(`refuses an answer that is ${what}`, () => {
      assert.throws(() => parseAnswer({ execute: 'query-jobs' }, text), { code: 'VB_LIBVIRT_MONITOR' });
    });
  }

  for (const told of [
    { nodes: {}, jobs: [], exports: [] },
    { nodes: [{ 'node-name': 1, file: '' }], jobs: [], exports: [] },
    { nodes: [], jobs: [{ id: 'a' }], exports: [] },
    { nodes: [], jobs: [], exports: undefined },
  ]) {
    it(`refuses a block layer that is ${JSON.stringify(told)}`, () => {
      assert.throws(() => parseState(told), { code: 'VB_LIBVIRT_MONITOR' });
    });
  }
});
