import assert from 'node:assert/strict';
import type { BlockReader, NbdConnectOptions } from '@vbackup/core';
import type { XenContext } from './context.js';
import { addressOf, connectNbd } from './nbd-disk.js';
import { OpenQueue } from './open-queue.js';
import { XenSession } from './session.js';
import { fail, ScriptedPool } from './testing/scripted-pool.js';
import { CbtTracker } from './tracker.js';

const TOKEN = 'OpaqueRef:session-token';
const record = (address: string) => ({
  exportname: `/uuid?session_id=${TOKEN}`,
  address,
  port: '10809',
  cert: 'PEM',
  subject: 'xen1.lab',
});
const opened: BlockReader = {
  size: 4096,
  limits: { alignment: 512, maximumRequest: 4096, maximumInFlight: 1 },
  read: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** Connects where only `reachable` answers; gives the addresses that were tried and the last options. */
async function connect(addresses: readonly string[], reachable: string, purpose = 'nbd', insecureNbd = false) {
  const answers: Readonly<Record<string, unknown>> = {
    'session.login_with_password': TOKEN,
    'session.logout': '',
    'VDI.get_nbd_info': addresses.map(record),
    'network.get_all_records': { 'OpaqueRef:n': { uuid: 'n', name_label: 'LAN', PIFs: [], purpose: [purpose] } },
  };
  const pool = new ScriptedPool((method) => answers[method] ?? fail('UNEXPECTED', method));
  await using session = await XenSession.login(pool.options());
  const tried: NbdConnectOptions[] = [];
  const context: XenContext = {
    session,
    tracker: new CbtTracker(session),
    openNbd: (options) => {
      tried.push(options);
      const { address } = options;
      if (address.kind === 'tcp' && address.host === reachable) return Promise.resolve(opened);
      return Promise.reject(new Error(`no way to ${options.exportName}`));
    },
    openQueue: new OpenQueue(),
    insecureNbd,
    nbdTimeoutMs: 1000,
    warn: () => {},
  };
  await connectNbd(context, { reference: 'OpaqueRef:snapshot', uuid: 'uuid' }, { connections: 4 });
  return tried;
}

const hosts = (tried: readonly NbdConnectOptions[]) =>
  tried.map(({ address }) => address.kind === 'tcp' && address.host);

describe('connectNbd', () => {
  it('tries every record, IPv6 as well, until one works', async () => {
    const tried = await connect(['10.0.0.1', '[fd00::1]', 'fd00::2/64', '10.0.0.9'], 'fd00::2');
    assert.deepEqual(hosts(tried), ['10.0.0.1', 'fd00::1', 'fd00::2']);
    const { tls, connections, secretExportName, minimumAlignment } = tried[0] ?? assert.fail();
    assert.deepEqual(tls, { kind: 'pinned', certificate: 'PEM', hostname: 'xen1.lab' });
    assert.deepEqual([connections, secretExportName, minimumAlignment], [4, true, 512]);
  });

  it('says what each address answered, without the token', async () => {
    await assert.rejects(connect(['10.0.0.1', '10.0.0.2'], 'none'), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'VB_XEN_NBD_UNREACHABLE');
      assert.match(error.message, /10\.0\.0\.1 port 10809: no way to .*; 10\.0\.0\.2 port 10809/);
      assert.ok(!error.message.includes(TOKEN));
      return true;
    });
  });

  it('goes without TLS only where the pool has no other way and the user allowed it', async () => {
    await assert.rejects(connect(['10.0.0.1'], '10.0.0.1', 'insecure_nbd'), { code: 'VB_XEN_NBD_INSECURE' });
    assert.equal((await connect(['10.0.0.1'], '10.0.0.1', 'insecure_nbd', true))[0]?.tls, undefined);
    assert.notEqual((await connect(['10.0.0.1'], '10.0.0.1', 'nbd', true))[0]?.tls, undefined);
  });
});

describe('addressOf', () => {
  it('leaves an address alone that is one', () => {
    for (const address of ['10.0.0.1', 'fd00::1']) assert.equal(addressOf({ address }), address);
  });
});
