import assert from 'node:assert/strict';
import { diskName, guestId } from './names.js';

describe('names of images and exports', () => {
  for (const [given, expected] of [
    ['web01.qcow2', 'web01'],
    ['web 01.x.raw', 'web_01_x'],
    ['lv-root', 'lv-root'],
    ['.img', '_img'],
    ['v1.2', 'v1_2'],
    ['Прибор.raw', '_'],
    ['', 'disk'],
    ['a'.repeat(300), 'a'.repeat(48)],
  ] as const) {
    it(`make ${expected.slice(0, 12)} of ${given.slice(0, 12)}`, () => {
      assert.equal(diskName(given), expected);
      assert.match(diskName(given), /^[A-Za-z0-9_-]+$/);
    });
  }

  it('keep a short id as it is, and shorten a long one to something unique', () => {
    assert.equal(guestId('/srv/a.raw'), '/srv/a.raw');
    const long = `/srv/${'folder/'.repeat(40)}a.raw`;
    assert.ok(encodeURIComponent(guestId(long)).length < 200);
    assert.notEqual(guestId(long), guestId(`${long}2`.replace('folder', 'other')));
    assert.ok(encodeURIComponent(guestId('ä'.repeat(5000))).length < 200);
  });
});
