import assert from 'node:assert/strict';
import { TEST_UUID } from '../testing/vma-sink.js';
import { derivedUuid, formatUuid, newIdentity, parseUuid } from './identity.js';

describe('the identity of an archive', () => {
  it('is a random UUID of version 4 and the second that it is', () => {
    for (let round = 0; round < 50; round += 1) {
      const { uuid } = newIdentity();
      assert.match(formatUuid(uuid), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
    assert.equal(newIdentity({ now: new Date(1999) }).ctime, 1);
  });

  it('goes to text and back', () => {
    assert.equal(formatUuid(TEST_UUID), '0d8fc66f-accb-4b1e-8b24-64002cba376f');
    assert.deepEqual(parseUuid(formatUuid(TEST_UUID)), TEST_UUID);
    assert.deepEqual(parseUuid('0D8FC66FACCB4B1E8B2464002CBA376F'), TEST_UUID);
  });

  it('may follow from the names and sizes of the devices, and from nothing else', () => {
    const disk = { name: 'drive-scsi0', size: 1000 };
    const uuid = derivedUuid([disk]);
    assert.equal(formatUuid(uuid), '465bce89-0c3e-8cda-a0e8-287f644d8504');
    assert.deepEqual(derivedUuid([{ ...disk, size: 1024 }]), uuid, 'an archive counts in sectors');
    for (const other of [[{ ...disk, size: 1536 }], [{ ...disk, name: 'drive-scsi1' }], [disk, disk], []]) {
      assert.notDeepEqual(derivedUuid(other), uuid);
    }
  });

  for (const text of ['', '0d8fc66f', '0d8f-c66faccb4b1e8b2464002cba376f', 'x'.repeat(32), `${'0'.repeat(32)}\n`]) {
    it(`refuses ${JSON.stringify(text)} as a UUID`, () => {
      assert.throws(() => parseUuid(text), { code: 'VB_INVALID_ARGUMENT' });
    });
  }
});
