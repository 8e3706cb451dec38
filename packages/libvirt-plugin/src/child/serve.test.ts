import assert from 'node:assert/strict';
import * as v from 'valibot';
import type { DomainFacts } from '../connection/index.js';
import { handle } from '../native/handler.js';
import { type Connected, type ConnectOptions, type EventSink, LibraryError, NativeCallError } from '../native/index.js';
import { calls, type Reply, ReplySchema } from '../wire/index.js';
import { Service } from './serve.js';

const NATIVE_BUSY = { code: 86, domain: 10, message: 'Guest agent is not responding' };
const NATIVE = { code: 42, domain: 10, message: 'Domain not found' };

describe('the service in the child process', () => {
  let replies: Reply[];
  let opened: ConnectOptions | undefined;
  let sink: EventSink | undefined;
  let closed: number;
  let service: Service;

  let thaws: string[];
  let asleep: number;
  let owed: boolean[];
  /** The other calls about guests, in order. */
  let did: string[];
  let facts: Pick<DomainFacts, 'state' | 'pausedReason'>;
  let job: string | null;

  const connected: Connected = {
    handlers: [
      handle(calls.freeze, () => {
        throw new NativeCallError(NATIVE, true);
      }),
      handle(calls.thaw, ({ domain }) => {
        thaws.push(domain);
        if (thaws.length <= asleep || facts.state === 'paused') throw new NativeCallError(NATIVE_BUSY, true);
        return 1;
      }),
      handle(calls.suspendDomain, () => {
        facts = { state: 'paused', pausedReason: 'user' };
        return null;
      }),
      handle(calls.resumeDomain, ({ domain }) => {
        did.push(`resume ${domain}`);
        facts = { state: 'running', pausedReason: null };
        return null;
      }),
      handle(calls.findDomain, (question) => ({
        uuid: 'uuid' in question ? question.uuid : '',
        name: 'web',
        active: true,
        persistent: true,
        autostart: false,
        startFailed: null,
        ...facts,
      })),
      handle(calls.beginBackup, ({ xml }) => {
        job = xml;
        return null;
      }),
      handle(calls.backupXml, () => job),
      handle(calls.abortJob, ({ domain }) => {
        did.push(`abort ${domain}`);
        job = null;
        return null;
      }),
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
    thaws = [];
    asleep = 0;
    owed = [];
    did = [];
    facts = { state: 'running', pausedReason: null };
    job = null;
    service = new Service(
      (options, events) => {
        opened = options;
        sink = events;
        if (options.uri === 'no library') throw new LibraryError('libvirt.so.0: it is not there');
        if (options.uri === 'no daemon') throw new NativeCallError(NATIVE, false);
        return connected;
      },
      (reply) => replies.push(v.parse(ReplySchema, structuredClone(reply))),
      { onOwed: (any) => owed.push(any), undoTimeoutMs: 1_500 },
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

  const guest = { domain: '6695eb01-f6a4-8304-79aa-97f2502e193f' };
  const other = { domain: '7695eb01-f6a4-8304-79aa-97f2502e193f' };

  it('thaws the guests that a dead client left frozen, also those whose freeze was not answered', async () => {
    ask('open', { uri: '' });
    ask('freeze', guest);
    ask('freeze', other);
    ask('thaw', other);
    asleep = 2;
    await service.abandon();
    assert.deepEqual(thaws, [other.domain, guest.domain, guest.domain]);
    assert.deepEqual(owed, [true, false]);
  });

  it('gives a guest up that does not wake', async () => {
    ask('open', { uri: '' });
    ask('freeze', guest);
    asleep = 1000;
    await service.abandon();
    assert.ok(thaws.length > 1 && thaws.length < 10, String(thaws.length));
  });

  it('touches no guest of a client that closed, or thawed what it froze', async () => {
    ask('open', { uri: '' });
    ask('freeze', guest);
    ask('thaw', guest);
    ask('freeze', other);
    ask('close');
    await service.abandon();
    assert.deepEqual([thaws, owed], [[guest.domain], [true, false, true, false]]);
  });

  it('resumes a guest before it thaws it, for the agent of a paused guest does not answer', async () => {
    ask('open', { uri: '' });
    ask('freeze', guest);
    ask('suspendDomain', guest);
    await service.abandon();
    assert.deepEqual([did, thaws, facts.state], [[`resume ${guest.domain}`], [guest.domain], 'running']);
  });

  const xml = (scratch: string): string =>
    `<domainbackup><disks><disk name="vda"><scratch file="${scratch}"/></disk></disks></domainbackup>`;

  it('ends the job that a dead client began, and resumes the guest if its scratch file was full', async () => {
    ask('open', { uri: '' });
    ask('beginBackup', { ...guest, xml: xml('/s/ours.vda.scratch') });
    job =
      "<domainbackup mode='pull'>\n  <disks>\n <disk name='vda' index='3'>\n <scratch file='/s/ours.vda.scratch'/></disk></disks></domainbackup>";
    facts = { state: 'paused', pausedReason: 'io-error' };
    await service.abandon();
    assert.deepEqual([did, job], [[`abort ${guest.domain}`, `resume ${guest.domain}`], null]);
    assert.deepEqual(owed, [true, false]);
  });

  it('leaves a job alone that another one began since, one that was ended, and a guest that somebody else paused', async () => {
    ask('open', { uri: '' });
    ask('beginBackup', { ...guest, xml: xml('/s/ours.vda.scratch') });
    job = xml('/s/theirs.vda.scratch');
    facts = { state: 'paused', pausedReason: 'migration' };
    await service.abandon();
    assert.deepEqual([did, job], [[], xml('/s/theirs.vda.scratch')]);
    ask('abortJob', guest);
    ask('suspendDomain', guest);
    ask('resumeDomain', guest);
    did = [];
    await service.abandon();
    assert.deepEqual(did, []);
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
