import assert from 'node:assert/strict';
import { jobFacts } from './job-facts.js';
import { decodeTypedParameters, TYPED_PARAMETER_LENGTH } from './typed-parameters.js';

function parameter(field: string, type: number, value: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.alloc(TYPED_PARAMETER_LENGTH, 0);
  bytes.write(field, 0, 80, 'utf8');
  bytes.writeInt32LE(type, 80);
  value(bytes.subarray(88));
  return bytes;
}

const decode = (...parameters: readonly Buffer[]): Record<string, unknown> =>
  Object.fromEntries(decodeTypedParameters(Buffer.concat(parameters), (pointer) => `text at ${pointer}`));

describe('decodeTypedParameters', () => {
  it('reads every type of virTypedParameter', () => {
    assert.deepEqual(
      decode(
        parameter('int', 1, (value) => value.writeInt32LE(-7)),
        parameter('unsigned', 2, (value) => value.writeUInt32LE(0xffffffff)),
        parameter('long', 3, (value) => value.writeBigInt64LE(-9n)),
        parameter('unsigned long', 4, (value) => value.writeBigUInt64LE(2n ** 53n - 1n)),
        parameter('double', 5, (value) => value.writeDoubleLE(0.5)),
        parameter('yes', 6, (value) => value.writeInt8(1)),
        parameter('no', 6, (value) => value.writeInt8(0)),
        parameter('text', 7, (value) => value.writeBigUInt64LE(4096n)),
        parameter('no text', 7, () => undefined),
      ),
      {
        int: -7,
        unsigned: 4294967295,
        long: -9,
        'unsigned long': Number.MAX_SAFE_INTEGER,
        double: 0.5,
        yes: true,
        no: false,
        text: 'text at 4096',
        'no text': '',
      },
    );
  });

  it('leaves out what is not exact, and types that it does not know', () => {
    const unknown = parameter('huge', 4, (value) => value.writeBigUInt64LE(2n ** 64n - 1n));
    assert.deepEqual(
      decode(
        unknown,
        parameter('new', 8, () => undefined),
      ),
      {},
    );
  });

  it('reads a name of the greatest length, and nothing from nothing', () => {
    const name = 'n'.repeat(80);
    assert.deepEqual(decode(parameter(name, 6, (value) => value.writeInt8(1))), { [name]: true });
    assert.deepEqual(decode(), {});
    assert.deepEqual(decode(Buffer.alloc(TYPED_PARAMETER_LENGTH - 1)), {});
  });
});

describe('jobFacts', () => {
  const nothing = { operation: 'unknown', success: null, message: null, scratchUsed: null, scratchTotal: null };

  for (const [type, state] of [
    [0, 'none'],
    [2, 'unbounded'],
    [5, 'cancelled'],
    [99, 'unknown'],
  ] as const) {
    it(`calls the type ${type} ${state}`, () => assert.deepEqual(jobFacts(type, new Map()), { state, ...nothing }));
  }

  it('tells a backup that failed from one that was ended', () => {
    const parameters = new Map<string, boolean | number | string>([
      ['operation', 9],
      ['success', false],
      ['errmsg', 'No space left on device'],
      ['disk_temp_used', 5],
      ['disk_temp_total', 10],
    ]);
    assert.deepEqual(jobFacts(null, parameters), {
      state: 'failed',
      operation: 'backup',
      success: false,
      message: 'No space left on device',
      scratchUsed: 5,
      scratchTotal: 10,
    });
    assert.equal(jobFacts(null, new Map([['success', true]])).state, 'completed');
  });
});
