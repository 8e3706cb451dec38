import assert from 'node:assert/strict';
import { checkpointListJson, minimalDomainXml, parsePeerDataName, peerDataName } from './peer-files.js';

describe('files for the tools of virtnbdbackup', () => {
  it('the checkpoint list is JSON as Python writes it', () => {
    assert.equal(checkpointListJson([]), '[]');
    assert.equal(checkpointListJson(['virtnbdbackup.0', 'virtnbdbackup.1']), '["virtnbdbackup.0", "virtnbdbackup.1"]');
  });

  it('the domain XML holds any name', () => {
    const xml = minimalDomainXml({ name: `a<b>&'"\u0001\ud800é`, disks: [{ target: 'x"', imageName: '<.img' }] });
    assert.ok(xml.includes(`<name>a&lt;b&gt;&amp;&apos;&quot;\ufffd\ufffdé</name>`), xml);
    assert.ok(xml.includes(`<source file='/&lt;.img'/>`) && xml.includes(`<target dev='x&quot;'/>`), xml);
  });

  const at = new Date(1_795_170_262_900);
  const names = [
    ['full', 'xvda.full.data'],
    ['copy', 'xvda.copy.data'],
    ['inc', 'xvda.inc.virtnbdbackup.3.data'],
    ['diff', 'xvda.diff.1795170262.data'],
  ] as const;
  for (const [level, name] of names) {
    it(`a ${level} is ${name}, and back`, () => {
      assert.equal(peerDataName({ target: 'xvda', level, checkpointName: 'virtnbdbackup.3', at }), name);
      assert.deepEqual([parsePeerDataName(name)?.target, parsePeerDataName(name)?.level], ['xvda', level]);
    });
  }

  it('other files are not data files', () => {
    for (const name of [
      'xvda.full.data.partial',
      'xvda.full.data.chksum',
      '.full.data',
      'xvda.inc.data',
      'guest.cpt',
    ]) {
      assert.equal(parsePeerDataName(name), undefined, name);
    }
  });
});
