import { setTimeout } from 'node:timers/promises';
import { BlockMap } from '../model/block-map.js';
import { integerOf, stringOf } from '../model/coerce.js';
import type { XenObject } from '../model/xen-object.js';
import { XapiFailure } from '../rpc/call.js';
import type { XenValue } from '../rpc/value.js';
import { type CallContext, type Methods, VOID } from './method.js';
import { constructed } from './vbd.js';

/** A VHD holds no more. */
const MAX_SIZE = 2040 * 2 ** 30;
const POLL_MS = 10;

export const VDI_METHODS: Methods = {
  'VDI.create': {
    params: 1,
    run: ({ state }, [record]) => {
      const fields = constructed('VDI', record, ['SR', 'virtual_size', 'type']);
      const sr = state.db.get('SR', stringOf('SR', fields['SR']));
      const { sizeMultiple } = state.settings;
      const size = Math.ceil(integerOf('virtual_size', fields['virtual_size']) / sizeMultiple) * sizeMultiple;
      if (size > MAX_SIZE) throw new XapiFailure('VDI_TOO_LARGE', String(size), String(MAX_SIZE));
      if (sr.number('physical_utilisation') + size > sr.number('physical_size')) {
        throw new XapiFailure('SR_BACKEND_FAILURE_44', '', 'There is insufficient space', '');
      }
      const { snapshot_of: _of, snapshots: _snapshots, VBDs: _vbds, ...own } = fields;
      return state.disks.create({ ...own, is_a_snapshot: false, cbt_enabled: false }, new BlockMap(size)).ref;
    },
  },
  'VDI.snapshot': {
    params: [1, 2],
    run: (context, [self]) => {
      const vdi = withData(find(context, self));
      needs(context, vdi, 'vdi_snapshot');
      if (vdi.flag('is_a_snapshot')) throw notAllowed('VDI is a snapshot', vdi);
      return frozen(context, vdi).ref;
    },
  },
  'VDI.resize': {
    params: 2,
    run: (context, [self, size]) => {
      const vdi = withData(find(context, self));
      const bytes = integerOf('size', size);
      if (bytes < vdi.number('virtual_size')) throw new XapiFailure('VDI_TOO_SMALL', vdi.ref, String(bytes));
      context.state.disks.grow(vdi, bytes);
      return VOID;
    },
  },
  'VDI.destroy': {
    params: 1,
    run: (context, [self]) => {
      const vdi = find(context, self);
      refuseInUse(context, vdi, 'destroy');
      context.state.disks.destroy(vdi);
      return VOID;
    },
  },
  'VDI.enable_cbt': {
    params: 1,
    run: (context, [self]) => {
      const vdi = withData(find(context, self));
      if (!context.state.faults.cbtLicensed) throw new XapiFailure('LICENCE_RESTRICTION', 'CBT');
      needs(context, vdi, 'vdi_enable_cbt');
      if (vdi.flag('is_a_snapshot')) throw notAllowed('VDI is a snapshot', vdi);
      if (vdi.text('on_boot') === 'reset') {
        throw new XapiFailure('VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION');
      }
      context.state.disks.setTracking(vdi, true);
      return VOID;
    },
  },
  'VDI.disable_cbt': {
    params: 1,
    run: (context, [self]) => {
      const vdi = withData(find(context, self));
      if (vdi.flag('is_a_snapshot')) throw notAllowed('VDI is a snapshot', vdi);
      context.state.disks.setTracking(vdi, false);
      return VOID;
    },
  },
  'VDI.list_changed_blocks': {
    params: 2,
    run: (context, [from, to]) => {
      const [older, newer] = [find(context, from), find(context, to)];
      for (const vdi of [older, newer]) refuseInUse(context, vdi, 'list_changed_blocks');
      needs(context, newer, 'vdi_list_changed_blocks');
      return context.state.disks.cbt.changedSince(older.uuid, newer.uuid).toString('base64');
    },
  },
  'VDI.data_destroy': {
    params: 1,
    run: async (context, [self]) => {
      const vdi = find(context, self);
      needs(context, vdi, 'vdi_data_destroy');
      if (!vdi.flag('is_a_snapshot')) throw notAllowed('VDI is not a snapshot', vdi);
      if (vdi.text('type') === 'cbt_metadata') return VOID;
      if (!vdi.flag('cbt_enabled')) throw new XapiFailure('VDI_NO_CBT_METADATA', vdi.ref);
      await untilUnused(context, vdi);
      context.state.disks.dropData(vdi);
      return VOID;
    },
  },
  'VDI.get_nbd_info': { params: 1, run: (context, [self]) => nbdInfo(context, withData(find(context, self))) },
  'VDI.checksum': {
    params: 1,
    run: async (context, [self]) => await context.state.disks.content(find(context, self)).digest(),
  },
};

/** A snapshot of the disk, its tracking ended where a fault wants it. */
export function frozen({ state }: Pick<CallContext, 'state'>, vdi: XenObject): XenObject {
  const snapshot = state.disks.snapshot(vdi);
  if (state.faults.snapshotEndsTracking && vdi.flag('cbt_enabled')) {
    for (const disk of [snapshot, vdi]) state.disks.setTracking(disk, false);
    state.disks.alert(vdi, 'VDI_CBT_SNAPSHOT_FAILED');
  }
  return snapshot;
}

/** One record per host that sees the disk, attached PIF on a network for NBD, and address; with a certificate always. */
function nbdInfo({ state, session }: CallContext, vdi: XenObject): XenValue {
  const { db, nbdPort } = state;
  const sr = db.get('SR', vdi.text('SR'));
  const attached = sr
    .list('PBDs')
    .map((ref) => db.get('PBD', ref))
    .filter((pbd) => pbd.flag('currently_attached'));
  const hosts = new Set(attached.map((pbd) => pbd.text('host')));
  return db.all('PIF').flatMap((pif) => {
    const purpose = db.get('network', pif.text('network')).list('purpose');
    const usable = hosts.has(pif.text('host')) && pif.flag('currently_attached');
    if (nbdPort === undefined || !usable || !(purpose.includes('nbd') || purpose.includes('insecure_nbd'))) return [];
    return [...state.faults.nbd.deadAddresses, pif.text('IP'), ...pif.list('IPv6')]
      .filter((address) => address !== '')
      .map((address) => ({
        exportname: `/${vdi.uuid}?session_id=${session.ref}`,
        address,
        port: nbdPort,
        cert: state.certificate,
        subject: db.get('host', pif.text('host')).text('hostname'),
      }));
  });
}

/** Any VBD counts, also one of a VM snapshot that is not attached. */
async function untilUnused({ state, signal }: CallContext, vdi: XenObject): Promise<void> {
  const deadline = Date.now() + state.settings.dataDestroyWaitMs;
  while (vdi.list('VBDs').length > 0) {
    if (Date.now() >= deadline) throw new XapiFailure('VDI_IN_USE', vdi.ref, 'data_destroy');
    await setTimeout(POLL_MS, undefined, { signal });
  }
}

function refuseInUse({ state: { db } }: CallContext, vdi: XenObject, operation: string): void {
  const attached = vdi.list('VBDs').some((ref) => db.get('VBD', ref).flag('currently_attached'));
  if (attached) throw new XapiFailure('VDI_IN_USE', vdi.ref, operation);
}

function needs({ state: { db } }: CallContext, vdi: XenObject, operation: string): void {
  const sr = db.get('SR', vdi.text('SR'));
  if (!sr.list('allowed_operations').includes(operation)) throw new XapiFailure('SR_OPERATION_NOT_SUPPORTED', sr.ref);
}

function withData(vdi: XenObject): XenObject {
  if (vdi.text('type') !== 'cbt_metadata') return vdi;
  throw new XapiFailure('VDI_INCOMPATIBLE_TYPE', vdi.ref, 'cbt_metadata');
}

function notAllowed(why: string, vdi: XenObject): XapiFailure {
  return new XapiFailure('OPERATION_NOT_ALLOWED', `${why}: ${vdi.ref}`);
}

function find({ state }: CallContext, self: XenValue | undefined): XenObject {
  return state.db.get('VDI', stringOf('self', self));
}
