import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type OptionValues, VBackupError } from '@vbackup/core';
import { collect } from '@vbackup/core/testing';
import { Fixture } from '../testing/fixture.js';

describe('what doctor says of the disks of libvirt', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await Fixture.make();
  });
  afterEach(() => fixture[Symbol.asyncDispose]());

  const answer = async (values: OptionValues = {}): Promise<string> => {
    const all = await collect(fixture.hypervisor({}, values).diagnose());
    const disks = all.find(({ name }) => name === 'disks');
    return `${disks?.state}: ${disks?.detail}`;
  };

  it('is which programs read the images of this host', async () => {
    assert.equal(await answer(), 'good: guests that are off are read by qemu-img 7.2.0');
    fixture.images.fail('versions', new VBackupError('VB_QEMU_MISSING', 'qemu-nbd is not installed'));
    assert.match(await answer(), /^warning: guests that are off cannot be read: qemu-nbd is not installed/);
  });

  it('is how those of another host are reached', async () => {
    const uri = 'qemu+ssh://far.example/system';
    assert.match(await answer({ uri }), /^bad: no certificates/);
    assert.match(await answer({ uri, 'nbd-insecure': true }), /^warning: .*port 10809 of far\.example, in clear text/);
    await writeFile(join(fixture.folder, 'ca-cert.pem'), 'a certificate');
    assert.match(await answer({ uri, 'nbd-tls-certificates': fixture.folder }), /^good: .*over TLS/);
  });
});
