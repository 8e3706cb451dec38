import assert from 'node:assert/strict';
import { LastWords, refusalError } from './qemu-words.js';

const errorOf = (text: string) => {
  const words = new LastWords();
  words.push(Buffer.from(text));
  return refusalError({ action: 'cannot open /a', program: 'qemu-nbd', words, end: 'exit code 1' });
};

describe('the last words of a program of QEMU', () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      'qemu-nbd: Failed to get shared "write" lock\nIs another process using the image [/a]?\n',
      'VB_IMAGE_LOCKED',
      /^cannot open \/a: qemu-nbd says: Failed to get shared "write" lock; Is another process/,
    ],
    [
      "qemu-nbd: Failed to blk_new_open '/a': Image is not in qcow2 format\n",
      'VB_IMAGE_FORMAT',
      /not in qcow2 format$/,
    ],
    ["qemu-nbd: Failed to blk_new_open '/a': Could not open '/a': Permission denied", 'VB_ACCESS_DENIED', /denied$/],
    ["qemu-nbd: Bitmap 'x' is not found", 'VB_QEMU_FAILED', /says: Bitmap 'x' is not found$/],
    ['', 'VB_QEMU_FAILED', /says: exit code 1$/],
  ];
  for (const [text, code, message] of cases) {
    it(`mean ${code} in ${JSON.stringify(text.slice(0, 60))}`, () => {
      const error = errorOf(text);
      assert.equal(error.code, code);
      assert.match(error.message, message);
    });
  }

  it('are the last, bounded, and cannot speak to the terminal', () => {
    const { message } = errorOf(`${'first\n'.repeat(100_000)}\u001b[31mlast`);
    assert.ok(message.length < 1000);
    assert.match(message, / \[31mlast$/);
  });
});
