import assert from 'node:assert/strict';
import { ERROR, eventsOf, HANGUP, READABLE, WRITABLE, wishOf } from './poll-flags.js';

describe('poll flags', () => {
  for (const [events, readable, writable] of [
    [0, false, false],
    [READABLE, true, false],
    [WRITABLE, false, true],
    [READABLE + WRITABLE, true, true],
    [ERROR, true, false],
    [HANGUP, true, false],
  ] as const) {
    it(`turn libvirt's ${events} into a wish of libuv`, () => assert.deepEqual(wishOf(events), { readable, writable }));
  }

  for (const [report, events] of [
    [[0, { readable: true, writable: false, disconnect: false }], READABLE],
    [[0, { readable: true, writable: true, disconnect: true }], READABLE + WRITABLE + HANGUP],
    [[-9, { readable: false, writable: false, disconnect: false }], ERROR],
    // As the types of koffi have it.
    [[{ readable: true, writable: false, disconnect: false }], READABLE],
    [[], 0],
  ] as const) {
    it(`turn what koffi reports into libvirt's ${events}: ${JSON.stringify(report)}`, () =>
      assert.equal(eventsOf(report), events));
  }
});
