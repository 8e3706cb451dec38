import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { fromXmlRpc, parseXapiDate, toJson, toXmlRpc, XapiDouble, type XapiValue } from './values.js';

interface Serializer {
  serializeMethodCall(method: string, parameters: readonly unknown[]): string;
}

function isSerializer(value: unknown): value is Serializer {
  return typeof value === 'object' && value !== null && 'serializeMethodCall' in value;
}

/** What npm xmlrpc makes of a value, without its envelope. */
function xml(value: XapiValue): string {
  const serializer: unknown = createRequire(import.meta.url)('xmlrpc/lib/serializer');
  assert.ok(isSerializer(serializer));
  const text = serializer.serializeMethodCall('m', [toXmlRpc(value)]);
  return text.slice(text.indexOf('<param>') + 7, text.indexOf('</param>'));
}

describe('values on the wire', () => {
  it('are decimal strings where they are integers, exact to 2^53', () => {
    assert.equal(xml(3_298_534_883_328), '<value><string>3298534883328</string></value>');
    assert.equal(xml(Number.MAX_SAFE_INTEGER), '<value><string>9007199254740991</string></value>');
    assert.throws(() => toXmlRpc(2 ** 53), RangeError);
    assert.throws(() => toXmlRpc(0.5), RangeError);
    assert.throws(() => toJson(2 ** 53), RangeError);
  });

  it('are doubles where they were meant to be, also whole ones', () => {
    assert.equal(xml(new XapiDouble(30)), '<value><double>30.0</double></value>');
    assert.equal(xml(new XapiDouble(30.1)), '<value><double>30.1</double></value>');
    assert.throws(() => toXmlRpc(new XapiDouble(Number.NaN)), RangeError);
  });

  it('keep their structure in both encodings', () => {
    const value = { list: ['a', true, 5], map: { size: 2 ** 40 } };
    assert.deepEqual(toXmlRpc(value), { list: ['a', true, '5'], map: { size: '1099511627776' } });
    assert.deepEqual(toJson(value), { list: ['a', true, 5], map: { size: 2 ** 40 } });
  });

  it('come back with dates as text', () => {
    const date = new Date('2026-01-02T03:04:05Z');
    assert.deepEqual(fromXmlRpc({ times: [date], n: '5' }), { times: ['2026-01-02T03:04:05.000Z'], n: '5' });
    assert.equal(fromXmlRpc(new Date(Number.NaN)), '');
  });
});

describe('parseXapiDate', () => {
  it('reads the forms that hosts use, always as UTC', () => {
    for (const text of [
      '20260102T03:04:05Z',
      '20260102T03:04:05',
      '2026-01-02T03:04:05Z',
      '2026-01-02T03:04:05.000Z',
    ]) {
      assert.equal(parseXapiDate(text)?.toISOString(), '2026-01-02T03:04:05.000Z', text);
    }
  });

  it('gives null for anything else', () => {
    for (const text of ['', 'yesterday', '20261302T03:04:05Z', '20260102'])
      assert.equal(parseXapiDate(text), null, text);
  });
});
