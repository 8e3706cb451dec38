import assert from 'node:assert/strict';
import { ProtocolError, VBackupError } from '@vbackup/core/errors';
import { failureOf } from './failure.js';

const system = (code: string, message = `${code}: no`): Error =>
  Object.assign(new Error(message), { code, syscall: 'x' });

describe('failureOf', () => {
  it('takes the error of another copy of the core, or one that looks like it, as it is', () => {
    const foreign = Object.assign(new Error('odd', { cause: new Error('deep') }), {
      code: 'VB_GUEST_NOT_FOUND',
      cure: 'look',
    });
    const { stack, ...failure } = failureOf(foreign);
    assert.deepEqual(failure, {
      code: 'VB_GUEST_NOT_FOUND',
      message: 'odd',
      cure: 'look',
      exitCode: 10,
      causes: ['deep'],
    });
    assert.equal(stack, undefined);
  });

  it('tells the first of several errors, and the others as causes', async () => {
    const work = async (): Promise<void> => {
      await using _one = { [Symbol.asyncDispose]: () => Promise.reject(new Error('second')) };
      await using _two = { [Symbol.asyncDispose]: () => Promise.reject(new Error('third')) };
      throw new VBackupError('VB_NO_SPACE', 'first');
    };
    const error: unknown = await work().catch((thrown: unknown) => thrown);
    const { code, message, causes, exitCode } = failureOf(error);
    assert.deepEqual([code, message, exitCode], ['VB_NO_SPACE', 'first', 1]);
    assert.deepEqual(causes.toSorted(), ['second', 'third']);
  });

  it('follows causes, and leaves out what the message says already', () => {
    const cause = new Error('the deepest');
    const outer = new ProtocolError('VB_SPARSE_META', 'bad: inner', 5, { cause: new Error('inner', { cause }) });
    assert.deepEqual(failureOf(outer).causes, ['the deepest']);
    assert.match(failureOf(outer).message, /at byte 5/);
  });

  it('does not follow a loop of causes forever', () => {
    const loop = new Error('loop');
    loop.cause = new Error('pool', { cause: loop });
    assert.ok(failureOf(new VBackupError('VB_IO', 'x', { cause: loop })).causes.length <= 8);
  });

  it('takes what the system says for I/O', () => {
    assert.equal(failureOf(system('EROFS')).code, 'VB_ACCESS_DENIED');
    assert.equal(failureOf(system('EDQUOT')).code, 'VB_NO_SPACE');
    assert.equal(failureOf(system('EMFILE')).code, 'VB_IO');
    assert.equal(failureOf(new AggregateError([system('ECONNREFUSED')])).code, 'VB_IO');
  });

  it('takes an aborted call for what aborted it', () => {
    const reason = new VBackupError('VB_ABORTED', 'interrupted by SIGINT');
    const abort = Object.assign(new Error('aborted', { cause: reason }), { name: 'AbortError', code: 'ABORT_ERR' });
    assert.equal(failureOf(abort).message, 'interrupted by SIGINT');
    assert.equal(failureOf(Object.assign(new Error('x'), { name: 'AbortError' })).code, 'VB_ABORTED');
  });

  it('takes anything else for a defect, with its stack', () => {
    for (const thrown of [new TypeError('x'), 'text', undefined, null, 3, {}]) {
      assert.deepEqual([failureOf(thrown).code, failureOf(thrown).exitCode], ['VB_INTERNAL', 70]);
    }
    assert.match(failureOf(new TypeError('x')).stack ?? '', /failure\.test/);
  });
});
