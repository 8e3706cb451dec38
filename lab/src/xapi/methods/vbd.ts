import { coerce, stringOf, structOf } from '../model/coerce.js';
import { type ClassName, fieldsOf } from '../model/schema.js';
import type { XenObject } from '../model/xen-object.js';
import { XapiFailure } from '../rpc/call.js';
import { NULL_REF, type XenStruct, type XenValue } from '../rpc/value.js';
import { type CallContext, type Methods, VOID } from './method.js';

export const VBD_METHODS: Methods = {
  'VBD.create': {
    params: 1,
    run: ({ state: { db } }, [record]) => {
      const fields = constructed('VBD', record, ['VM', 'VDI', 'userdevice', 'mode', 'type']);
      db.get('VM', stringOf('VM', fields['VM']));
      const ref = stringOf('VDI', fields['VDI']);
      if (ref !== NULL_REF) {
        const vdi = db.get('VDI', ref);
        if (vdi.text('type') === 'cbt_metadata') throw new XapiFailure('VDI_INCOMPATIBLE_TYPE', ref, 'cbt_metadata');
      }
      return db.create('VBD', { ...fields, device: '' }).ref;
    },
  },
  'VBD.plug': {
    params: 1,
    run: (context, [self]) => {
      const vbd = find(context, self);
      if (vbd.flag('currently_attached')) throw new XapiFailure('DEVICE_ALREADY_ATTACHED', vbd.ref);
      context.state.db.update(vbd, { currently_attached: true, device: `xvd${vbd.text('userdevice')}` });
      return VOID;
    },
  },
  'VBD.unplug': {
    params: 1,
    run: (context, [self]) => {
      const vbd = find(context, self);
      if (!vbd.flag('currently_attached')) throw new XapiFailure('DEVICE_ALREADY_DETACHED', vbd.ref);
      context.state.db.update(vbd, { currently_attached: false, device: '' });
      return VOID;
    },
  },
  'VBD.destroy': {
    params: 1,
    run: (context, [self]) => {
      const vbd = find(context, self);
      if (vbd.flag('currently_attached')) {
        throw new XapiFailure('OPERATION_NOT_ALLOWED', 'VBD is attached to a running domain');
      }
      context.state.db.remove(vbd);
      return VOID;
    },
  },
  'VIF.create': {
    params: 1,
    run: ({ state: { db } }, [record]) => {
      const fields = constructed('VIF', record, ['VM', 'network', 'device']);
      db.get('VM', stringOf('VM', fields['VM']));
      db.get('network', stringOf('network', fields['network']));
      return db.create('VIF', fields).ref;
    },
  },
  'VIF.destroy': {
    params: 1,
    run: ({ state: { db } }, [self]) => {
      db.remove(db.get('VIF', stringOf('self', self)));
      return VOID;
    },
  },
};

/** The record of a constructor: known fields by their kind, unknown ones ignored, required ones demanded. */
export function constructed(
  className: ClassName,
  record: XenValue | undefined,
  required: readonly string[],
): XenStruct {
  const given = structOf(className, record);
  const missing = required.find((name) => given[name] === undefined);
  if (missing !== undefined) throw new XapiFailure('FIELD_TYPE_ERROR', missing);
  const fields = [...fieldsOf(className).values()].filter(({ name }) => name !== 'uuid' && given[name] !== undefined);
  return Object.fromEntries(
    fields.filter(({ kind }) => kind !== 'datetime').map((field) => [field.name, coerce(field, given[field.name])]),
  );
}

function find({ state }: CallContext, self: XenValue | undefined): XenObject {
  return state.db.get('VBD', stringOf('self', self));
}
