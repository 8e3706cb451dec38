import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { type NativeFunction, NativeLibc, type NativeModule } from './native-libc.js';

/** A C library in which every call is interrupted twice, and then answers 7. */
class InterruptedModule implements NativeModule {
  calls = 0;

  load(): { func(): NativeFunction } {
    return { func: () => Object.assign(() => this.#call(), { async: this.#callLater.bind(this) }) };
  }

  errno(): number {
    return constants.errno.EINTR;
  }

  #call(): number {
    this.calls += 1;
    return this.calls < 3 ? -1 : 7;
  }

  #callLater(...values: readonly unknown[]): void {
    const callback = values.at(-1);
    assert.ok(typeof callback === 'function');
    setImmediate(() => callback(null, this.#call()));
  }
}

describe('NativeLibc', () => {
  it('asks again where a signal interrupted a call, at once and in a thread', async () => {
    const module = new InterruptedModule();
    const libc = new NativeLibc(module);
    assert.equal(libc.seekData({ fd: 0 }, 0), 7);
    module.calls = 0;
    const [source, target] = [{ fd: 0 }, { fd: 1 }];
    assert.equal(await libc.copyFileRange({ source, target, sourceOffset: 0, targetOffset: 0, length: 10 }), 7);
    assert.equal(module.calls, 3);
  });
});
