import assert from 'node:assert/strict';
import { VBackupError } from '../errors/index.js';
import {
  blockSizeInformation,
  contextReply,
  exportInformation,
  greeting,
  longWord,
  optionReply,
  word,
} from '../testing/index.js';
import type { Dialogue } from './dialogue.js';
import { list, MAX_LISTED_EXPORTS } from './export-list.js';
import { inquire, negotiate } from './negotiation.js';
import {
  NBD_FLAG_HAS_FLAGS,
  NBD_MAGIC,
  NBD_OLDSTYLE_MAGIC,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_SERVER,
} from './words.js';

interface Played<Result> {
  readonly result: Result;
  /** Numbers of the options that the client sent; -1 where it moved into TLS. */
  readonly options: readonly number[];
  readonly unread: number;
}

/** Plays a server that has said everything before it is asked, and then closes the connection. */
function play<Result>(dialogue: Dialogue<Result>, ...said: readonly Buffer[]): Played<Result> {
  const bytes = Buffer.concat(said);
  const options: number[] = [];
  let at = 0;
  let turn = dialogue.next(Buffer.alloc(0));
  while (turn.done !== true) {
    const step = turn.value;
    if ('read' in step) {
      const end = at + step.read;
      if (end > bytes.length) {
        turn = dialogue.throw(new VBackupError('VB_NBD_DISCONNECTED', 'closed'));
        continue;
      }
      turn = dialogue.next(bytes.subarray(at, end));
      at = end;
      continue;
    }
    if ('startTls' in step) options.push(-1);
    else if (step.write.length >= 16) options.push(step.write.readUInt32BE(8));
    turn = dialogue.next(Buffer.alloc(0));
  }
  return { result: turn.value, options, unread: bytes.length - at };
}

const OPTIONS = { exportName: 'vda', label: 'export "vda"', tls: false, metaContexts: ['base:allocation'] };
const STRUCTURED = optionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
const SET = NBD_OPT_SET_META_CONTEXT;
const CONTEXTS = Buffer.concat([contextReply(5, 'base:allocation'), optionReply(SET, NBD_REP_ACK)]);
const GONE = optionReply(NBD_OPT_GO, NBD_REP_ACK);
const information = (size = 4096, option = NBD_OPT_GO) =>
  optionReply(option, NBD_REP_INFO, exportInformation(size, NBD_FLAG_HAS_FLAGS));
const sizes = (...values: readonly number[]) => optionReply(NBD_OPT_GO, NBD_REP_INFO, blockSizeInformation(values));
const byName = (size: number) => Buffer.concat([longWord(size), Buffer.from([0, 3])]);

describe('negotiate', () => {
  it('agrees on structured replies, contexts and sizes, and reads not one byte too many', () => {
    const said = [greeting(), STRUCTURED, CONTEXTS, information(), sizes(512, 4096, 65_536), GONE];
    const { result, options, unread } = play(negotiate(OPTIONS), ...said, Buffer.from('rest'));
    assert.deepEqual(result, {
      size: 4096,
      flags: NBD_FLAG_HAS_FLAGS,
      blockSizes: { minimum: 512, preferred: 4096, maximum: 65_536 },
      structured: true,
      contexts: new Map([[5, 'base:allocation']]),
    });
    assert.deepEqual(options, [NBD_OPT_STRUCTURED_REPLY, NBD_OPT_SET_META_CONTEXT, NBD_OPT_GO]);
    assert.equal(unread, 4);
  });

  it('moves into TLS before it says anything else', () => {
    const tls = optionReply(NBD_OPT_STARTTLS, NBD_REP_ACK);
    const said = [greeting(), tls, STRUCTURED, CONTEXTS, information(), GONE];
    const { options } = play(negotiate({ ...OPTIONS, tls: true }), ...said);
    assert.deepEqual(options.slice(0, 3), [NBD_OPT_STARTTLS, -1, NBD_OPT_STRUCTURED_REPLY]);
  });

  it('falls back to EXPORT_NAME and simple replies, with the zeroes that xapi sends always', () => {
    const refusals = [NBD_OPT_STRUCTURED_REPLY, NBD_OPT_GO].map((option) => optionReply(option, NBD_REP_ERR_UNSUP));
    const said = [greeting(1), ...refusals, byName(2 ** 31), Buffer.alloc(124)];
    const { result, options, unread } = play(negotiate(OPTIONS), ...said);
    assert.equal(result.size, 2 ** 31);
    assert.equal(result.flags, 3);
    assert.equal(result.structured, false);
    assert.equal(options.at(-1), NBD_OPT_EXPORT_NAME);
    assert.equal(unread, 0);
  });

  it('sends nothing but EXPORT_NAME to a server that is not of the fixed kind', () => {
    const { result, options } = play(negotiate(OPTIONS), greeting(2), byName(4096));
    assert.equal(result.size, 4096);
    assert.deepEqual(options, [NBD_OPT_EXPORT_NAME]);
  });

  const oldstyle = Buffer.alloc(16);
  oldstyle.writeBigUInt64BE(NBD_MAGIC, 0);
  oldstyle.writeBigUInt64BE(NBD_OLDSTYLE_MAGIC, 8);
  const upToGo = [greeting(), STRUCTURED, CONTEXTS];
  const huge = Buffer.concat([Buffer.alloc(2), Buffer.alloc(8, 0xff), Buffer.alloc(2)]);
  const oversized = optionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
  oversized.writeUInt32BE(100_000_000, 16);
  const unmagic = optionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ACK);
  unmagic[0] = 1;
  const faults: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['another protocol', [Buffer.from('HTTP/1.1 400 Bad Request\r\n')], 'VB_NBD_NOT_A_SERVER'],
    ['another style', [greeting().subarray(0, 8), Buffer.from('whatever')], 'VB_NBD_NOT_A_SERVER'],
    ['oldstyle', [oldstyle], 'VB_NBD_OLDSTYLE'],
    ['a silent end', [greeting()], 'VB_NBD_DISCONNECTED'],
    ['a reply without magic', [greeting(), unmagic], 'VB_NBD_OPTION_REPLY'],
    ['a reply to another option', [greeting(), optionReply(NBD_OPT_GO, NBD_REP_ACK)], 'VB_NBD_OPTION_REPLY'],
    ['an oversized reply', [greeting(), oversized], 'VB_NBD_OPTION_REPLY'],
    [
      'a reply of another type',
      [greeting(), optionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_INFO)],
      'VB_NBD_OPTION_REPLY',
    ],
    [
      'a server that demands TLS',
      [greeting(), optionReply(NBD_OPT_STRUCTURED_REPLY, NBD_REP_ERR_TLS_REQD)],
      'VB_NBD_TLS_REQUIRED',
    ],
    ['one context twice', [greeting(), STRUCTURED, contextReply(5, 'a'), contextReply(5, 'b')], 'VB_NBD_OPTION_REPLY'],
    [
      'contexts without end',
      [greeting(), STRUCTURED, ...Array.from({ length: 65 }, (_, id) => contextReply(id, `c${id}`))],
      'VB_NBD_OPTION_REPLY',
    ],
    ['a context without a name', [greeting(), STRUCTURED, contextReply(5, '')], 'VB_NBD_OPTION_REPLY'],
    ['an unknown export', [...upToGo, optionReply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN)], 'VB_NBD_EXPORT_NOT_FOUND'],
    ['a refusal', [...upToGo, optionReply(NBD_OPT_GO, NBD_REP_ERR_POLICY)], 'VB_NBD_EXPORT_REFUSED'],
    ['a refusal without words', [...upToGo, optionReply(NBD_OPT_GO, NBD_REP_ERR_UNSUP)], 'VB_NBD_EXPORT_REFUSED'],
    ['an export without a size', [...upToGo, GONE], 'VB_NBD_OPTION_REPLY'],
    ['an export beyond 2^53', [...upToGo, optionReply(NBD_OPT_GO, NBD_REP_INFO, huge)], 'VB_NUMBER_TOO_LARGE'],
    ['half a size', [...upToGo, optionReply(NBD_OPT_GO, NBD_REP_INFO, Buffer.alloc(5))], 'VB_NBD_OPTION_REPLY'],
    ['a block size of 3', [...upToGo, sizes(3, 4096, 65_536)], 'VB_NBD_OPTION_REPLY'],
    ['a block size of 0', [...upToGo, sizes(0, 4096, 65_536)], 'VB_NBD_OPTION_REPLY'],
    ['a block size of 128 KiB', [...upToGo, sizes(131_072, 131_072, 131_072)], 'VB_NBD_OPTION_REPLY'],
    ['a maximum below the minimum', [...upToGo, sizes(4096, 4096, 512)], 'VB_NBD_OPTION_REPLY'],
    ['information without end', [...upToGo, ...Array.from({ length: 65 }, () => information())], 'VB_NBD_OPTION_REPLY'],
  ];
  for (const [what, said, code] of faults) {
    it(`says ${code} to ${what}`, () => {
      assert.throws(() => play(negotiate(OPTIONS), ...said), { code });
    });
  }

  for (const type of [NBD_REP_ERR_UNSUP, NBD_REP_ERR_POLICY]) {
    it(`never goes on in clear where TLS is demanded and refused with ${type.toString(16)}`, () => {
      const said = [greeting(), optionReply(NBD_OPT_STARTTLS, type), STRUCTURED];
      assert.throws(() => play(negotiate({ ...OPTIONS, tls: true }), ...said), { code: 'VB_NBD_TLS_UNAVAILABLE' });
    });
  }

  it('makes the words of a server harmless, and hides the name', () => {
    const words = Buffer.from(`\x1b[2Jno vda here\n${'x'.repeat(4000)}`);
    const refusal = optionReply(NBD_OPT_GO, NBD_REP_ERR_UNKNOWN, words);
    assert.throws(
      () => play(negotiate({ ...OPTIONS, label: 'the export' }), ...upToGo, refusal),
      (error: Error) => {
        assert.ok(!error.message.includes('\x1b') && !error.message.includes('vda'));
        return error.message.length < 700;
      },
    );
  });

  it('refuses to send a name that no server may accept', () => {
    const exportName = 'x'.repeat(4097);
    assert.throws(() => play(negotiate({ ...OPTIONS, exportName }), greeting(), STRUCTURED), {
      code: 'VB_INVALID_ARGUMENT',
    });
  });
});

describe('inquire', () => {
  it('asks with INFO', () => {
    const said = [greeting(), information(77, NBD_OPT_INFO), optionReply(NBD_OPT_INFO, NBD_REP_ACK)];
    const { result, options } = play(inquire(OPTIONS), ...said);
    assert.equal(result?.size, 77);
    assert.deepEqual(options, [NBD_OPT_INFO]);
  });
});

describe('list', () => {
  const shown = (name: string, description = '') =>
    optionReply(NBD_OPT_LIST, NBD_REP_SERVER, Buffer.concat([word(name.length), Buffer.from(name + description)]));

  it('collects names and descriptions', () => {
    const said = [greeting(), shown('vda', 'a disk'), shown(''), optionReply(NBD_OPT_LIST, NBD_REP_ACK)];
    assert.deepEqual(play(list({ tls: false }), ...said).result, [
      { name: 'vda', description: 'a disk' },
      { name: '', description: '' },
    ]);
  });

  const lying = optionReply(NBD_OPT_LIST, NBD_REP_SERVER, Buffer.concat([word(100), Buffer.from('vda')]));
  const faults: readonly (readonly [string, readonly Buffer[], string])[] = [
    ['a server that does not list', [greeting(), optionReply(NBD_OPT_LIST, NBD_REP_ERR_UNSUP)], 'VB_UNSUPPORTED'],
    ['a server of the old kind', [greeting(0)], 'VB_UNSUPPORTED'],
    ['a refusal', [greeting(), optionReply(NBD_OPT_LIST, NBD_REP_ERR_POLICY)], 'VB_NBD_LIST_REFUSED'],
    ['a name longer than its reply', [greeting(), lying], 'VB_NBD_OPTION_REPLY'],
    [
      'a list without end',
      [greeting(), ...Array.from({ length: MAX_LISTED_EXPORTS + 1 }, () => shown('x'))],
      'VB_NBD_OPTION_REPLY',
    ],
  ];
  for (const [what, said, code] of faults) {
    it(`says ${code} to ${what}`, () => assert.throws(() => play(list({ tls: false }), ...said), { code }));
  }
});
