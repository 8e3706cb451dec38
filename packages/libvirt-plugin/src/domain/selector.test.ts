import assert from 'node:assert/strict';
import { questionsOf } from './selector.js';

const UUID = '6695eb01-f6a4-8304-79aa-97f2502e193f';

describe('questionsOf', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['web', ['name web']],
    ['web:vda', ['name web:vda', 'name web disk vda']],
    ['a:b:sdaa', ['name a:b:sdaa', 'name a:b disk sdaa']],
    ['web:Disk 1', ['name web:Disk 1']],
    [':vda', ['name :vda']],
    ['web:', ['name web:']],
    [UUID.toUpperCase(), [`uuid ${UUID}`, `name ${UUID.toUpperCase()}`]],
    [`${UUID}:vda`, [`name ${UUID}:vda`, `uuid ${UUID} disk vda`, `name ${UUID} disk vda`]],
  ];
  for (const [selector, expected] of cases) {
    it(`asks for ${expected.join(', then ')} where ${selector} is given`, () => {
      const questions = questionsOf(selector).map(({ by, value, disk }) =>
        disk === null ? `${by} ${value}` : `${by} ${value} disk ${disk}`,
      );
      assert.deepEqual(questions, expected);
    });
  }

  for (const selector of ['', '  ', '/etc/libvirt/qemu/web.xml']) {
    it(`refuses ${JSON.stringify(selector)}`, () => {
      assert.throws(() => questionsOf(selector), { code: 'VB_LIBVIRT_SELECTOR' });
    });
  }
});
