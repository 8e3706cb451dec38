import assert from 'node:assert/strict';
import { registerPlugin, UnsupportedError } from '@vbackup/core';
import { container } from 'tsyringe';
import { libvirtPlugin } from './plugin.js';

describe('libvirtPlugin', () => {
  it('can be registered, and says honestly that it cannot connect', async () => {
    const own = container.createChildContainer();
    registerPlugin(libvirtPlugin, own);
    await assert.rejects(libvirtPlugin.connect({}, { container: own }), (error: unknown) => {
      assert.ok(error instanceof UnsupportedError);
      assert.equal(error.code, 'VB_LIBVIRT_NOT_IMPLEMENTED');
      return true;
    });
  });
});
