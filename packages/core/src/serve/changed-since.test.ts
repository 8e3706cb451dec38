import assert from 'node:assert/strict';
import type { Fingerprint, ImageReader } from '../backup/image.js';
import { collect } from '../testing/collect.js';
import { OtherBackups } from './changed-since.js';

/** A frame per letter, ten bytes each; `.` is zero. */
function imageOf(frames: string, onClose: () => void = () => undefined): ImageReader {
  return {
    size: frames.length * 10,
    extents: () => assert.fail('fingerprints tell'),
    async *fingerprints({ offset, length }) {
      const end = Math.min(offset + length, frames.length * 10);
      for (let at = offset; at < end; ) {
        const frame = Math.floor(at / 10);
        const until = Math.min(end, (frame + 1) * 10);
        const letter = frames.charAt(frame);
        const digest = { algorithm: 'blake3' as const, bytes: Buffer.from(letter) };
        const known: Fingerprint =
          letter === '.'
            ? { kind: 'zero', offset: at, length: until - at, digest: null }
            : { kind: 'data', offset: at, length: until - at, digest: null, frame: { digest, offset: frame * 10 } };
        yield known;
        at = until;
      }
    },
    read: () => assert.fail('no byte is read'),
    [Symbol.asyncDispose]: async () => onClose(),
  };
}

describe('OtherBackups', () => {
  const dirtyOf = async (now: string, then: string, range = { offset: 0, length: now.length * 10 }) => {
    await using compared = new OtherBackups(imageOf(now), [{ id: 'a1', open: async () => imageOf(then) }]);
    const extents = await collect(compared.changedSince[0]?.extents(range) ?? []);
    return extents.map(({ offset, length, dirty }) => `${dirty ? '!' : ' '}${offset}+${length}`);
  };

  it('calls dirty what is not the same frame or zero on both sides', async () => {
    assert.deepEqual(await dirtyOf('ab.d', 'aX..'), [' 0+10', '!10+10', ' 20+10', '!30+10']);
  });

  it('looks at the range alone, and cuts frames at its ends', async () => {
    assert.deepEqual(await dirtyOf('ab.d', 'aX..', { offset: 5, length: 10 }), [' 5+5', '!10+5']);
  });

  it('takes what the disk has grown by for zero before, and leaves out what it was cut by', async () => {
    assert.deepEqual(await dirtyOf('ab.d', 'ab'), [' 0+10', ' 10+10', ' 20+10', '!30+10']);
    assert.deepEqual(await dirtyOf('ab.d', 'ab', { offset: 25, length: 15 }), [' 25+5', '!30+10']);
    assert.deepEqual(await dirtyOf('ab', 'ab.d'), [' 0+10', ' 10+10']);
  });

  it('opens each when it is first asked for, keeps some open, and closes all in the end', async () => {
    let opened = 0;
    let closed = 0;
    const ids = Array.from({ length: 10 }, (_, index) => `b${index}`);
    const others = ids.map((id) => ({
      id,
      open: async () => {
        opened += 1;
        return imageOf('a', () => {
          closed += 1;
        });
      },
    }));
    {
      await using compared = new OtherBackups(imageOf('a'), others);
      assert.deepEqual(
        compared.changedSince.map(({ id }) => id),
        ids,
      );
      assert.equal(opened, 0);
      const ask = async (at: number): Promise<void> =>
        void (await collect(compared.changedSince[at]?.extents({ offset: 0, length: 10 }) ?? []));
      await Promise.all([ask(0), ask(0), ask(0)]);
      assert.equal(opened, 1);
      for (let at = 0; at < 10; at += 1) await ask(at);
      assert.deepEqual([opened, closed], [10, 6]);
      await ask(9);
      assert.equal(opened, 10);
    }
    assert.equal(closed, 10);
  });

  it('tries again what could not be opened', async () => {
    let tries = 0;
    const open = async (): Promise<ImageReader> => {
      tries += 1;
      if (tries === 1) throw new Error('no index');
      return imageOf('a');
    };
    await using compared = new OtherBackups(imageOf('a'), [{ id: 'a1', open }]);
    const ask = () => collect(compared.changedSince[0]?.extents({ offset: 0, length: 10 }) ?? []);
    await assert.rejects(ask, /no index/);
    assert.equal((await ask()).length, 1);
  });
});
