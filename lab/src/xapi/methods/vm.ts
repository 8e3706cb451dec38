import { listOf, stringOf } from '../model/coerce.js';
import type { XenObject } from '../model/xen-object.js';
import { XapiFailure } from '../rpc/call.js';
import { DateTime, NULL_REF, type XenValue } from '../rpc/value.js';
import { type CallContext, type Methods, VOID } from './method.js';
import { constructed } from './vbd.js';
import { frozen } from './vdi.js';

export const VM_METHODS: Methods = {
  'VM.create': {
    params: 1,
    run: ({ state: { db } }, [record]) => {
      const { VBDs: _vbds, VIFs: _vifs, snapshots: _snapshots, ...fields } = constructed('VM', record, ['name_label']);
      return db.create('VM', { ...fields, power_state: 'Halted', is_a_snapshot: false, snapshot_of: NULL_REF }).ref;
    },
  },
  'VM.snapshot': {
    params: [2, 3],
    run: (context, [self, name, ignored]) => {
      const vm = find(context, self);
      if (vm.flag('is_a_snapshot')) throw new XapiFailure('OPERATION_NOT_ALLOWED', `VM is a snapshot: ${vm.ref}`);
      const left = ignored === undefined ? [] : listOf('ignore_vdis', ignored).map((ref) => stringOf('vdi', ref));
      return snapshot(context, vm, stringOf('new_name', name), left).ref;
    },
  },
  'VM.destroy': {
    params: 1,
    run: (context, [self]) => {
      const { db } = context.state;
      const vm = find(context, self);
      refuseUnless(vm, 'Halted');
      for (const ref of vm.list('VBDs')) db.remove(db.get('VBD', ref));
      for (const ref of vm.list('VIFs')) db.remove(db.get('VIF', ref));
      db.remove(vm);
      return VOID;
    },
  },
  'VM.start': { params: 3, run: (context, [self]) => power(context, find(context, self), 'Halted', 'Running') },
  'VM.clean_shutdown': {
    params: 1,
    run: (context, [self]) => power(context, find(context, self), 'Running', 'Halted'),
  },
  'VM.hard_shutdown': { params: 1, run: (context, [self]) => power(context, find(context, self), 'Running', 'Halted') },
};

/** Disks are frozen one after the other; a CD of the snapshot shows the original image. */
function snapshot({ state }: CallContext, vm: XenObject, name: string, ignored: readonly string[]): XenObject {
  const { db } = state;
  const { uuid: _uuid, VBDs: _vbds, VIFs: _vifs, snapshots: _snapshots, ...copied } = vm.record();
  const copy = db.create('VM', {
    ...copied,
    name_label: name,
    power_state: 'Halted',
    resident_on: NULL_REF,
    is_a_snapshot: true,
    is_a_template: true,
    snapshot_of: vm.ref,
    snapshot_time: new DateTime(new Date()),
  });
  for (const ref of vm.list('VBDs')) {
    const vbd = db.get('VBD', ref);
    if (ignored.includes(vbd.text('VDI'))) continue;
    const vdi = db.find('VDI', vbd.text('VDI'));
    const shown = vbd.text('type') === 'Disk' && vdi !== undefined ? frozen({ state }, vdi).ref : vbd.text('VDI');
    const { uuid: _vbdUuid, ...fields } = vbd.record();
    db.create('VBD', { ...fields, VM: copy.ref, VDI: shown, currently_attached: false, device: '' });
  }
  for (const ref of vm.list('VIFs')) {
    const { uuid: _vifUuid, ...fields } = db.get('VIF', ref).record();
    db.create('VIF', { ...fields, VM: copy.ref, currently_attached: false });
  }
  return copy;
}

function power({ state: { db, master } }: CallContext, vm: XenObject, from: string, to: string): XenValue {
  refuseUnless(vm, from);
  db.update(vm, { power_state: to, resident_on: to === 'Running' ? master.ref : NULL_REF });
  for (const ref of vm.list('VBDs')) db.update(db.get('VBD', ref), { currently_attached: to === 'Running' });
  return VOID;
}

function refuseUnless(vm: XenObject, state: string): void {
  const actual = vm.text('power_state');
  if (actual === state) return;
  throw new XapiFailure('VM_BAD_POWER_STATE', vm.ref, state.toLowerCase(), actual.toLowerCase());
}

function find({ state }: CallContext, self: XenValue | undefined): XenObject {
  return state.db.get('VM', stringOf('self', self));
}
