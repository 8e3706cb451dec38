import assert from 'node:assert/strict';
import { handle } from '../native/handler.js';
import { type Connected, type ConnectOptions, type EventSink, LibraryError, NativeCallError } from '../native/index.js';
import { calls, type Reply, ReplySchema } from '../wire/index.js';
import { Service } from './serve.js';

const NATIVE = { code: 42, domain: 10, message: 'Domain not found' };

describe('the service in the child process', () => {
  let replies: Reply[];
  let opened: ConnectOptions | undefined;
  let sink: EventSink | undefined;
  let closed: number;
  let service: Service;

  const connected: Connected = {
    handlers: [
      handle(calls.domainXml, ({ domain }) => `<domain>${domain}</domain>`),
      handle(calls.domainCapabilities, () => {
        throw new NativeCallError(NATIVE, true);
      }),
      handle(calls.host, () => {
        throw new TypeError('a bug');
      }),
    ],
    close: () => {
      closed += 1;
      return 0;
    },
    pending: () => 0,
  };

  beforeEach(() => {
    replies = [];
    opened = undefined;
    closed = 0;
    service = new Service(
      (options, events) => {
        opened = options;
        sink = events;
        if (options.uri === 'no library') throw new LibraryError('libvirt.so.0: it is not there');
        if (options.uri === 'no daemon') throw new NativeCallError(NATIVE, false);
        return connected;
      },
      (reply) => replies.push(ReplySchema.parse(structuredClone(reply))),
    );
  });

  const ask = (call: string, values: unknown = {}): Reply | undefined => {
    service.receive({ id: replies.length + 1, call, arguments: values });
    return replies.at(-1);
  };

  it('opens, answers and closes', () => {
    const options = { uri: 'qemu:///system', readOnly: true, user: 'alice', password: 'secret' };
    assert.deepEqual(ask('open', options), { kind: 'result', id: 1, value: null });
    assert.deepEqual(opened, options);
    const domain = '6695eb01-f6a4-8304-79aa-97f2502e193f';
    assert.deepEqual(ask('domainXml', { domain }), { kind: 'result', id: 2, value: `<domain>${domain}</domain>` });
    assert.deepEqual(ask('close'), { kind: 'result', id: 3, value: null });
    assert.equal(closed, 1);
  });

  it('hands on events, and the end of the connection', () => {
    ask('open', { uri: '' });
    const domain = '6695eb01-f6a4-8304-79aa-97f2502e193f';
    sink?.event({ kind: 'agent', domain, name: 'one', connected: true });
    sink?.lost('keepalive');
    assert.deepEqual(replies.slice(1), [
      { kind: 'event', event: { kind: 'agent', domain, name: 'one', connected: true } },
      { kind: 'lost', reason: 'keepalive' },
    ]);
  });

  for (const [what, call, values, reply] of [
    ['a call before it is open', 'host', {}, { reason: 'internal', message: 'there is no call host' }],
    ['a connection that is refused', 'open', { uri: 'no daemon' }, { error: NATIVE, alive: false }],
    ['a missing library', 'open', { uri: 'no library' }, { reason: 'library' }],
    ['a URI that is no text', 'open', { uri: 7 }, { reason: 'internal' }],
  ] as const) {
    it(`answers ${what}`, () => {
      assert.partialDeepStrictEqual(ask(call, values), { id: 1, ...reply });
    });
  }

  for (const [what, call, values, reply] of [
    ['a call that libvirt refuses', 'domainCapabilities', {}, { kind: 'refused', error: NATIVE, alive: true }],
    ['a call that breaks', 'host', {}, { kind: 'failed', reason: 'internal', message: 'a bug' }],
    ['a call that does not exist', 'format', {}, { kind: 'failed', message: 'there is no call format' }],
    ['a uuid that is none', 'domainXml', { domain: '../..' }, { kind: 'failed', reason: 'internal' }],
    ['a second open', 'open', { uri: '' }, { kind: 'failed', message: 'there is no call open' }],
  ] as const) {
    it(`answers ${what}`, () => {
      ask('open', { uri: 'qemu:///system' });
      assert.partialDeepStrictEqual(ask(call, values), { id: 2, ...reply });
    });
  }

  it('refuses what is no request', () => {
    for (const message of [null, 'open', { id: 0, call: 'open' }, { id: 1, call: 'x'.repeat(65) }]) {
      assert.throws(() => service.receive(message));
    }
    assert.deepEqual(replies, []);
  });
});
