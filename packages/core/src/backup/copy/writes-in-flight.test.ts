import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { BlockWriter, WithSignal } from '../../hypervisor/index.js';
import { Deferred, FakeReader } from '../../testing/index.js';
import { copyDevice } from './copy-device.js';
import { writeImage } from './write-image.js';

const MiB = 1024 * 1024;
const QUARTER = MiB / 4;

/** A device in memory that holds back its requests until so many have begun, and then lets every one pass. */
class HeldDevice implements BlockWriter {
  readonly size: number;
  readonly zeroed = false;
  readonly limits: BlockWriter['limits'];
  readonly image: Buffer;
  /** Offsets of requests, in the order in which they began. */
  readonly begun: number[] = [];
  running = 0;
  most = 0;
  readonly #full = new Deferred();
  readonly #onRelease: (index: number) => Promise<void>;

  constructor(shape: { size: number; maximumInFlight: number; onRelease?: (index: number) => Promise<void> }) {
    this.size = shape.size;
    this.limits = { alignment: 512, maximumRequest: QUARTER, maximumInFlight: shape.maximumInFlight };
    this.image = Buffer.alloc(shape.size, 255);
    this.#onRelease = shape.onRelease ?? (() => turn());
  }

  async write(offset: number, bytes: Buffer): Promise<void> {
    await this.#hold(offset);
    bytes.copy(this.image, offset);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#hold(offset);
    this.image.fill(0, offset, offset + length);
  }

  async finish(): Promise<void> {
    assert.equal(this.running, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    assert.equal(this.running, 0);
  }

  async #hold(offset: number): Promise<void> {
    const index = this.begun.push(offset) - 1;
    this.running += 1;
    this.most = Math.max(this.most, this.running);
    if (this.begun.length === this.limits.maximumInFlight) this.#full.resolve();
    try {
      await this.#full.promise;
      await this.#onRelease(index);
    } finally {
      this.running -= 1;
    }
  }
}

const content = randomBytes(12 * MiB);
content.fill(0, 4 * MiB, 5 * MiB);
const size = content.length;
const zeros = { offset: 4 * MiB, length: MiB };
const data = [
  { offset: 0, length: zeros.offset },
  { offset: 5 * MiB, length: 7 * MiB },
];

type Way = (target: HeldDevice, options?: WithSignal) => Promise<unknown>;
const WAYS: Readonly<Record<string, Way>> = {
  copyDevice: (target, { signal } = {}) =>
    copyDevice({ reader: new FakeReader(content), openTarget: async () => target, label: 'it', signal }),
  writeImage: (target, { signal } = {}) =>
    writeImage({ image: new FakeReader(content), target, data, onProgress: () => undefined, signal }),
};

for (const [name, copy] of Object.entries(WAYS)) {
  describe(`the writes of ${name}`, () => {
    it('overlap, up to the count that the target takes', async () => {
      const target = new HeldDevice({ size, maximumInFlight: 3 });
      await copy(target);
      assert.equal(target.most, 3);
      assert.ok(target.image.equals(content));
    });

    it('come one by one, in order, to a target that takes one', async () => {
      const target = new HeldDevice({ size, maximumInFlight: 1 });
      await copy(target);
      assert.equal(target.most, 1);
      assert.deepEqual(
        target.begun,
        target.begun.toSorted((left, right) => left - right),
      );
      assert.ok(target.image.equals(content));
    });

    it('begin no more after the first that fails, and it is the one that is told', async () => {
      const onRelease = async (index: number): Promise<void> => {
        if (index === 1) throw new Error('the first failure');
        for (let count = 0; count < 3; count += 1) await turn();
        throw new Error('a later failure');
      };
      const target = new HeldDevice({ size, maximumInFlight: 3, onRelease });
      await assert.rejects(copy(target), { message: 'the first failure' });
      assert.equal(target.begun.length, 3);
      assert.equal(target.running, 0);
    });

    it('begin no more when it is stopped, and those under way are waited for', async () => {
      const stop = new AbortController();
      const onRelease = async (): Promise<void> => {
        stop.abort();
        for (let count = 0; count < 3; count += 1) await turn();
      };
      const target = new HeldDevice({ size, maximumInFlight: 3, onRelease });
      await assert.rejects(copy(target, { signal: stop.signal }));
      assert.equal(target.begun.length, 3);
      assert.equal(target.running, 0);
    });
  });
}
