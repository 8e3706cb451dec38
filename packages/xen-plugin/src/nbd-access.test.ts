import assert from 'node:assert/strict';
import * as v from 'valibot';
import type { LiveDisk } from './live-disk.js';
import { requireNbd } from './nbd-access.js';
import { SrSchema, VdiSchema } from './records.js';
import { XenSession } from './session.js';
import { fail, ScriptedPool } from './testing/scripted-pool.js';

const SR = 'OpaqueRef:sr';
const disk: LiveDisk = {
  reference: 'OpaqueRef:disk',
  name: 'disk',
  sr: v.parse(SrSchema, { uuid: 'sr', name_label: 'Local', type: 'ext', allowed_operations: [], PBDs: [] }),
  record: v.parse(VdiSchema, {
    uuid: 'disk',
    name_label: '',
    SR,
    VBDs: [],
    snapshots: [],
    snapshot_of: 'OpaqueRef:NULL',
    is_a_snapshot: false,
    type: 'user',
    virtual_size: '4096',
    sharable: false,
    managed: true,
  }),
};

interface Pool {
  readonly purpose?: readonly string[];
  readonly pbdAttached?: boolean;
  readonly pifAttached?: boolean;
  readonly pifHost?: string;
}

/** A pool without NBD for one of several reasons; everything else is as it should be. */
function poolOf({ purpose = ['nbd'], pbdAttached = true, pifAttached = true, pifHost = 'OpaqueRef:host' }: Pool) {
  const tables: Readonly<Record<string, unknown>> = {
    'session.login_with_password': 'OpaqueRef:session',
    'session.logout': '',
    'VDI.get_nbd_info': [],
    'SR.get_by_uuid': SR,
    'network.get_all_records': { 'OpaqueRef:net': { uuid: 'net', name_label: 'LAN', PIFs: [], purpose } },
    'PBD.get_all_records': { 'OpaqueRef:pbd': { host: 'OpaqueRef:host', SR, currently_attached: pbdAttached } },
    'PIF.get_all_records': {
      'OpaqueRef:pif': { host: pifHost, network: 'OpaqueRef:net', currently_attached: pifAttached, IP: '' },
    },
  };
  return new ScriptedPool((method) => tables[method] ?? fail('UNEXPECTED', method));
}

describe('requireNbd', () => {
  const conditions: readonly (readonly [string, Pool, RegExp])[] = [
    ['the purpose of a network', { purpose: [] }, /no network of the pool has the purpose nbd/],
    ['the storage', { pbdAttached: false }, /repository Local is not attached to any host \(PBD\)/],
    ['the interface', { pifAttached: false }, /attached interface \(PIF\) on the network LAN/],
    ['an interface of a host that sees the storage', { pifHost: 'OpaqueRef:other' }, /no host that sees the storage/],
    ['the address', {}, /has an IP address/],
  ];
  for (const [name, pool, message] of conditions) {
    it(`names ${name} when that is missing`, async () => {
      await using session = await XenSession.login(poolOf(pool).options());
      await assert.rejects(requireNbd(session, disk, { allowInsecure: false }), {
        code: 'VB_XEN_NBD_UNAVAILABLE',
        message,
      });
    });
  }
});
