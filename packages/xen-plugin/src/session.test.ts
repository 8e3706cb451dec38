import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { XenSession } from './session.js';
import { fail, ScriptedPool } from './testing/scripted-pool.js';

describe('XenSession', () => {
  it('follows the coordinator twice, also to an IPv6 address, and then gives up', async () => {
    const addresses = ['2001:db8::1', '10.0.0.2', '10.0.0.3'];
    const pool = new ScriptedPool(() => fail('HOST_IS_SLAVE', addresses.shift() ?? ''));
    await assert.rejects(XenSession.login(pool.options()), { code: 'VB_XEN_NOT_MASTER', message: /10\.0\.0\.3/ });
    assert.deepEqual(pool.asked, [
      'first:443 session.login_with_password',
      '[2001:db8::1]:443 session.login_with_password',
      '10.0.0.2:443 session.login_with_password',
    ]);
  });

  it('logs in once for many calls that find the session gone, and repeats only what may be repeated', async () => {
    let valid = '';
    let logins = 0;
    const pool = new ScriptedPool((method, [reference]) => {
      if (method === 'session.login_with_password') {
        logins += 1;
        valid = `OpaqueRef:session-${logins}`;
        return valid;
      }
      return reference === valid ? 'fine' : fail('SESSION_INVALID', String(reference));
    });
    await using session = await XenSession.login(pool.options());
    valid = 'none';
    const calls = [1, 2, 3].map(() => session.call(v.string(), 'VDI.get_uuid', ['x']));
    assert.deepEqual(await Promise.all(calls), ['fine', 'fine', 'fine']);
    assert.equal(logins, 2);
    valid = 'none';
    const once = session.call(v.string(), 'VDI.snapshot', ['x'], { idempotent: false });
    await assert.rejects(once, { code: 'VB_XEN_SESSION_LOST' });
    assert.equal(await session.call(v.string(), 'VDI.get_uuid', ['x']), 'fine');
    assert.equal(logins, 3);
  });

  it('refuses an answer of another shape than was promised', async () => {
    const pool = new ScriptedPool((method) => (method === 'VDI.get_record' ? { uuid: 5 } : 'OpaqueRef:session'));
    await using session = await XenSession.login(pool.options());
    await assert.rejects(session.call(v.object({ uuid: v.string() }), 'VDI.get_record', ['x']), {
      code: 'VB_XEN_RESPONSE',
      message: /VDI\.get_record.*at uuid/,
    });
  });

  it('touches an idle session, and logs out at the end', async () => {
    const pool = new ScriptedPool(() => 'OpaqueRef:session');
    {
      await using session = await XenSession.login(pool.options({ keepAliveMs: 5 }));
      while (!pool.asked.includes('first:443 session.get_uuid')) await sleep(5);
      assert.equal(session.endpoint.host, 'first');
    }
    assert.equal(pool.asked.at(-1), 'first:443 session.logout');
  });
});
