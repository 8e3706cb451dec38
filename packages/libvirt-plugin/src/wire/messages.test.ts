import assert from 'node:assert/strict';
import * as v from 'valibot';
import { MAXIMUM_ITEMS, MAXIMUM_TEXT_LENGTH } from './facts-schema.js';
import { calls, ReplySchema, RequestSchema } from './index.js';

const uuid = '6695eb01-f6a4-8304-79aa-97f2502e193f';
const about = { domain: uuid, name: 'web' };
const job = {
  state: 'completed',
  operation: 'backup',
  success: true,
  message: 'Operation canceled',
  scratchUsed: 0,
  scratchTotal: 2 ** 53 - 1,
};

describe('messages of the process that speaks to libvirt', () => {
  for (const message of [
    { kind: 'result', id: 1, value: null },
    { kind: 'refused', id: 2, error: { code: 42, domain: 10, message: 'Domain not found' }, alive: true },
    { kind: 'failed', id: 3, reason: 'library', message: 'libvirt.so.0: it is not there' },
    { kind: 'lost', reason: 'keepalive' },
    { kind: 'event', event: { kind: 'lifecycle', ...about, change: 'suspended', detail: 2, ioError: true } },
    { kind: 'event', event: { kind: 'job-completed', ...about, job } },
    { kind: 'event', event: { kind: 'agent', ...about, connected: false } },
    {
      kind: 'event',
      event: { kind: 'io-error', ...about, path: '', alias: '', action: 'pause', reason: 'enospc' },
    },
  ]) {
    it(`stay what they are over the pipe: ${JSON.stringify(message)}`, () =>
      assert.deepEqual(v.parse(ReplySchema, JSON.parse(JSON.stringify(message))), message));
  }

  for (const message of [
    null,
    'result',
    [],
    {},
    { kind: 'result', value: null },
    { kind: 'result', id: 0, value: null },
    { kind: 'result', id: 1.5, value: null },
    { kind: 'refused', id: 1, error: { code: '42', domain: 10, message: '' }, alive: true },
    { kind: 'refused', id: 1, error: { code: 42, domain: 10, message: '' } },
    { kind: 'failed', id: 1, reason: 'mood', message: '' },
    { kind: 'lost', reason: 'boredom' },
    { kind: 'event', event: { kind: 'agent', domain: 'web', name: 'web', connected: true } },
    { kind: 'event', event: { kind: 'lifecycle', ...about, change: 'retired', detail: 0, ioError: false } },
    { kind: 'event', event: { kind: 'job-completed', ...about, job: { ...job, scratchUsed: -1 } } },
    { kind: 'event', event: { kind: 'job-completed', ...about, job: { ...job, scratchTotal: 2 ** 53 } } },
  ]) {
    it(`are refused: ${JSON.stringify(message)}`, () => assert.equal(v.safeParse(ReplySchema, message).success, false));
  }

  for (const message of [
    null,
    { id: 1, arguments: {} },
    { id: -1, call: 'host', arguments: {} },
    { id: 1, call: 'x'.repeat(65), arguments: {} },
  ]) {
    it(`are no requests: ${JSON.stringify(message)}`, () =>
      assert.equal(v.safeParse(RequestSchema, message).success, false));
  }
});

describe('calls', () => {
  it('have the name under which they stand', () => {
    for (const [name, call] of Object.entries(calls)) assert.equal(call.name, name);
  });

  it('take the longest text and the longest list, and nothing beyond', () => {
    const text = 'x'.repeat(MAXIMUM_TEXT_LENGTH);
    assert.equal(v.safeParse(calls.defineDomain.arguments, { xml: text }).success, true);
    assert.equal(v.safeParse(calls.defineDomain.arguments, { xml: `${text}x` }).success, false);
    assert.equal(v.safeParse(calls.domainXml.result, `${text}x`).success, false);
    const list = Array.from({ length: MAXIMUM_ITEMS }, () => ({ name: 'c', parent: null }));
    assert.equal(v.safeParse(calls.listCheckpoints.result, list).success, true);
    assert.equal(v.safeParse(calls.listCheckpoints.result, [...list, list[0]]).success, false);
  });

  for (const [call, values] of [
    [calls.domainXml, {}],
    [calls.domainXml, { domain: uuid.toUpperCase() }],
    [calls.domainXml, { domain: uuid, secure: 'yes' }],
    [calls.findDomain, {}],
    [calls.findDomain, { id: 1 }],
    [calls.setAgentTimeout, { domain: uuid, seconds: -2 }],
    [calls.setAgentTimeout, { domain: uuid, seconds: 0.5 }],
    [calls.freeze, { domain: uuid, mountpoints: '/' }],
    [calls.undefineDomain, { domain: uuid, nvram: 'burn' }],
    [calls.open, { uri: null }],
  ] as const) {
    it(`refuse other arguments: ${call.name} ${JSON.stringify(values)}`, () =>
      assert.equal(v.safeParse(call.arguments, values).success, false));
  }
});
