import assert from 'node:assert/strict';
import type { OpenTarget } from '@vbackup/core';
import { FakeClock } from '@vbackup/core/testing';
import { type Throttled, throttles } from './throttle.js';

const SPECIFICATION = { size: 1000, data: [], label: 'disk' };

const target = (id: number, limits: { bytesPerSecond?: number; group?: string }): Throttled => ({
  device: { id, name: `drive-scsi${id}`, size: 1000 },
  bytesPerSecond: limits.bytesPerSecond,
  group: limits.group,
});

/** Writes 100 bytes twice to each. @returns when each write began, in milliseconds, and what was warned of */
async function began(targets: readonly Throttled[]): Promise<{ times: number[][]; warnings: string[] }> {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const throttleOf = await throttles(targets, { warn: (message) => warnings.push(message), clock });
  const times = targets.map((): number[] => []);
  const work = targets.map(async (each, at) => {
    const openTarget: OpenTarget = async ({ size }) => ({
      size,
      limits: { alignment: 1, maximumRequest: 1000, maximumInFlight: 1 },
      zeroed: true,
      write: async () => void times[at]?.push(clock.now()),
      zero: async () => {},
      finish: async () => {},
      [Symbol.asyncDispose]: async () => {},
    });
    await using writer = await throttleOf(each)(openTarget)(SPECIFICATION);
    await writer.write(0, Buffer.alloc(100));
    await writer.write(100, Buffer.alloc(100));
  });
  await Promise.all([...work, clock.advance()]);
  return { times, warnings };
}

describe('throttles', () => {
  it('holds each device to its own rate, and one without any to none', async () => {
    const { times, warnings } = await began([
      target(0, { bytesPerSecond: 100 }),
      target(1, { bytesPerSecond: 50 }),
      target(2, {}),
    ]);
    assert.deepEqual(times, [
      [0, 900],
      [0, 1900],
      [0, 0],
    ]);
    assert.deepEqual(warnings, []);
  });

  it('has the devices of a group share one rate', async () => {
    const { times, warnings } = await began([
      target(0, { bytesPerSecond: 100, group: 'local' }),
      target(1, { bytesPerSecond: 100, group: 'local' }),
      target(2, { group: 'local' }),
    ]);
    assert.deepEqual(
      times.flat().toSorted((left, right) => left - right),
      [0, 900, 1900, 2900, 3900, 4900],
    );
    assert.deepEqual(warnings, []);
  });

  it('takes the least of the rates of a group, and says so', async () => {
    const { times, warnings } = await began([
      target(0, { bytesPerSecond: 100, group: 'local' }),
      target(1, { bytesPerSecond: 200, group: 'local' }),
    ]);
    assert.deepEqual(
      times.flat().toSorted((left, right) => left - right),
      [0, 900, 1900, 2900],
    );
    assert.deepEqual(warnings, [
      'throttling.group=local of drive-scsi0, drive-scsi1 has the rates 100, 200: the least holds',
    ]);
  });

  it('says that a group without a rate is not limited', async () => {
    const { times, warnings } = await began([target(0, { group: 'local' })]);
    assert.deepEqual(times, [[0, 0]]);
    assert.deepEqual(warnings, ['throttling.group=local of drive-scsi0 has no throttling.bps: it is not limited']);
  });
});
