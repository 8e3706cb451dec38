import assert from 'node:assert/strict';
import { registerPlugin, UnsupportedError } from '@vbackup/core';
import { container } from 'tsyringe';
import { type OpenLibvirt, OpenLibvirtToken } from './connection/index.js';
import { libvirtPlugin } from './plugin.js';
import { openLibvirt } from './process/index.js';

describe('libvirtPlugin', () => {
  it('registers how libvirt is opened, unless a program did', () => {
    const own = container.createChildContainer();
    registerPlugin(libvirtPlugin, own);
    assert.equal(own.resolve(OpenLibvirtToken), openLibvirt);
    const theirs = container.createChildContainer();
    const open: OpenLibvirt = () => Promise.reject(new Error('only a test'));
    theirs.register(OpenLibvirtToken, { useValue: open });
    libvirtPlugin.register(theirs);
    assert.equal(theirs.resolve(OpenLibvirtToken), open);
  });

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
