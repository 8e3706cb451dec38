import assert from 'node:assert/strict';
import { syncDirectory } from './durable.js';

describe('syncDirectory', () => {
  it('lets a file system be that cannot sync a folder, as some that lie on a network', async () => {
    await syncDirectory('/proc/self/fdinfo');
  });

  it('says of a folder that is not there that it is not', async () => {
    await assert.rejects(syncDirectory('/no/such/folder'), { code: 'VB_IO', message: /ENOENT/ });
  });
});
