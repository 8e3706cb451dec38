import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkpointName, isOfRepository, makeUlid } from './checkpoint-name.js';
import { checkpointRecord, type LibvirtCheckpoint, parseCheckpointRecord } from './checkpoint-record.js';
import { descriptionOf, newCheckpointXml, parseCheckpointXml, redefinitionXml } from './checkpoint-xml.js';

const REPOSITORY = '0123456789abcdef';
const OWNER = { repositoryId: REPOSITORY, guestId: '6695eb01-f6a4-8304-79aa-97f2502e193f' };
const RECORD: LibvirtCheckpoint = {
  version: 1,
  domain: OWNER.guestId,
  name: checkpointName(REPOSITORY, makeUlid()),
  creationTime: 1_700_000_000,
  disks: [
    { target: 'vda', size: 4096, bitmap: true },
    { target: 'vdb', size: 512, bitmap: false },
  ],
};

describe('makeUlid', () => {
  it('writes the digits of the specification', () => {
    const largest = makeUlid(new Date(2 ** 48 - 1), Buffer.alloc(10, 0xff));
    assert.equal(largest, '7zzzzzzzzzzzzzzzzzzzzzzzzz');
    assert.equal(makeUlid(new Date(0), Buffer.alloc(10)), '0'.repeat(26));
    // The example of github.com/ulid/spec: 01ARZ3NDEKTSV4RRFFQ69G5FAV.
    const random = Buffer.from('d6764c61efb99302bd5b', 'hex');
    assert.equal(makeUlid(new Date(1_469_922_850_259), random), '01arz3ndektsv4rrffq69g5fav');
  });

  it('sorts by time', () => {
    const time = fc.integer({ min: 0, max: 2 ** 48 - 2 });
    fc.assert(
      fc.property(time, (at) => {
        assert.ok(makeUlid(new Date(at)) < makeUlid(new Date(at + 1)));
      }),
    );
  });
});

describe('the name of a checkpoint', () => {
  it('carries the repository, so that the checkpoints of others are left alone', () => {
    const name = checkpointName(REPOSITORY, makeUlid());
    assert.match(name, /^vbackup-01234567-[0-9a-z]{26}$/);
    assert.equal(isOfRepository(name, REPOSITORY), true);
    const others = ['virtnbdbackup.0', 'vbackup-01234567-old', `vbackup-76543210-${makeUlid()}`, `${name}x`, ''];
    for (const other of others) assert.equal(isOfRepository(other, REPOSITORY), false, other);
  });
});

describe('the XML of a checkpoint', () => {
  it('names every disk, so that libvirt decides nothing by itself', () => {
    const xml = newCheckpointXml({ name: 'n', owner: OWNER, tracked: ['vda'], untracked: ['vdb', 'sda'] });
    assert.equal(
      xml,
      `<domaincheckpoint><name>n</name><description>${descriptionOf(OWNER)}</description><disks>` +
        '<disk name="vda" checkpoint="bitmap"/><disk name="vdb" checkpoint="no"/><disk name="sda" checkpoint="no"/>' +
        '</disks></domaincheckpoint>',
    );
  });

  it('escapes what it is given', () => {
    const name = `<a b="c">&'`;
    const xml = newCheckpointXml({ name, owner: { ...OWNER, guestId: '<&>' }, tracked: ['"<&\n'], untracked: [] });
    const parsed = parseCheckpointXml(xml);
    assert.deepEqual([parsed.name, parsed.disks[0]?.target], [name, '"<&\n']);
    assert.equal(parsed.description, descriptionOf({ ...OWNER, guestId: '<&>' }));
  });

  it('tells libvirt again what the records know', () => {
    const parsed = parseCheckpointXml(redefinitionXml(RECORD, OWNER) ?? '');
    assert.deepEqual(parsed, {
      name: RECORD.name,
      description: descriptionOf(OWNER),
      parent: null,
      creationTime: 1_700_000_000,
      disks: [{ target: 'vda', bitmap: RECORD.name, size: null }],
    });
    assert.equal(redefinitionXml({ ...RECORD, name: null }, OWNER), null);
    assert.equal(redefinitionXml({ ...RECORD, disks: [{ target: 'vdb', size: 1, bitmap: false }] }, OWNER), null);
  });

  it('is read as libvirt 9 writes it', () => {
    const xml = `<domaincheckpoint><name>c2</name><parent><name>c1</name></parent><creationTime>1763729000</creationTime>
      <disks><disk name='vda' checkpoint='bitmap' bitmap='c2' size='65536'/><disk name='vdb' checkpoint='no'/></disks>
      <domain type='qemu'><name>web</name></domain></domaincheckpoint>`;
    assert.deepEqual(parseCheckpointXml(xml), {
      name: 'c2',
      description: null,
      parent: 'c1',
      creationTime: 1_763_729_000,
      disks: [
        { target: 'vda', bitmap: 'c2', size: 65_536 },
        { target: 'vdb', bitmap: null, size: null },
      ],
    });
  });
});

describe('the record of a checkpoint', () => {
  it('comes back as it was', () => {
    assert.deepEqual(parseCheckpointRecord(checkpointRecord(RECORD)), RECORD);
  });

  for (const [fault, record] of [
    ['of another plugin', { version: 1, kind: 'nbd', size: 1 }],
    ['of a later version', { ...checkpointRecord(RECORD), version: 2 }],
    ['with a size that is none', { ...checkpointRecord(RECORD), disks: [{ target: 'vda', size: -1, bitmap: true }] }],
  ] as const) {
    it(`is refused if it is ${fault}`, () => {
      assert.throws(() => parseCheckpointRecord(record), { code: 'VB_LIBVIRT_CHECKPOINT' });
    });
  }
});
