import assert from 'node:assert/strict';
import { registerPlugin } from '@vbackup/core';
import { container } from 'tsyringe';
import { type OpenLibvirt, OpenLibvirtToken } from './connection/index.js';
import { libvirtPlugin } from './plugin.js';
import { openLibvirt } from './process/index.js';
import { FakeLibvirt } from './testing/fake-libvirt.js';

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

  it('connects with what was registered, and closes what it opened', async () => {
    const own = container.createChildContainer();
    const libvirt = new FakeLibvirt();
    libvirt.addDomain({ name: 'web' });
    const open: OpenLibvirt = ({ uri, user }) => {
      assert.deepEqual([uri, user], ['qemu:///system', 'alice']);
      return Promise.resolve(libvirt);
    };
    own.register(OpenLibvirtToken, { useValue: open });
    registerPlugin(libvirtPlugin, own);
    {
      const options = { uri: 'qemu:///system', user: 'alice' };
      await using hypervisor = await libvirtPlugin.connect(options, { container: own });
      assert.equal((await hypervisor.find('web')).name, 'web');
      await assert.rejects(hypervisor.find('wob'), { code: 'VB_GUEST_NOT_FOUND' });
    }
    assert.equal(libvirt.lost.aborted, true);
  });
});
