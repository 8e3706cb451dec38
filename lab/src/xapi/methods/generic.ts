import { coerce, stringOf } from '../model/coerce.js';
import { CLASSES, type ClassName, type Field, fieldsOf } from '../model/schema.js';
import { XapiFailure } from '../rpc/call.js';
import type { XenValue } from '../rpc/value.js';
import { type CallContext, type Method, type Methods, VOID } from './method.js';

/** The methods that every class has, made from its fields. */
export function genericMethods(): Methods {
  return Object.fromEntries(
    CLASSES.flatMap((className) => [
      ...classMethods(className),
      ...[...fieldsOf(className).values()].flatMap((field) => fieldMethods(className, field)),
    ]),
  );
}

type Entry = readonly [name: string, method: Method];

function classMethods(className: ClassName): Entry[] {
  const self = ({ state }: CallContext, ref: XenValue | undefined) => state.db.get(className, stringOf('self', ref));
  return [
    [`${className}.get_all`, { params: 0, run: ({ state }) => state.db.all(className).map(({ ref }) => ref) }],
    [
      `${className}.get_all_records`,
      {
        params: 0,
        run: ({ state }) => Object.fromEntries(state.db.all(className).map((object) => [object.ref, object.record()])),
      },
    ],
    [`${className}.get_record`, { params: 1, run: (context, [ref]) => self(context, ref).record() }],
    [
      `${className}.get_by_uuid`,
      { params: 1, run: ({ state }, [uuid]) => state.db.byUuid(className, stringOf('uuid', uuid)).ref },
    ],
    ...(fieldsOf(className).has('name_label') ? [byNameLabel(className)] : []),
  ];
}

function byNameLabel(className: ClassName): Entry {
  const run: Method['run'] = ({ state }, [label]) =>
    state.db
      .all(className)
      .filter((object) => object.text('name_label') === label)
      .map(({ ref }) => ref);
  return [`${className}.get_by_name_label`, { params: 1, run }];
}

function fieldMethods(className: ClassName, field: Field): Entry[] {
  const self = ({ state }: CallContext, ref: XenValue | undefined) => state.db.get(className, stringOf('self', ref));
  const getter: Entry = [
    `${className}.get_${field.name}`,
    { params: 1, run: (context, [ref]) => self(context, ref).get(field.name) },
  ];
  if (!field.writable) return [getter];
  const setter: Entry = [
    `${className}.set_${field.name}`,
    {
      params: 2,
      run: (context, [ref, value]) => {
        context.state.db.update(self(context, ref), { [field.name]: coerce(field, value) });
        return VOID;
      },
    },
  ];
  if (field.kind === 'map') return [getter, setter, ...mapMethods(className, field.name)];
  if (field.kind === 'set') return [getter, setter, ...setMethods(className, field.name)];
  return [getter, setter];
}

function mapMethods(className: ClassName, field: string): Entry[] {
  return [
    [
      `${className}.add_to_${field}`,
      {
        params: 3,
        run: ({ state: { db } }, [ref, key, value]) => {
          const object = db.get(className, stringOf('self', ref));
          const name = stringOf('key', key);
          if (Object.hasOwn(object.map(field), name)) {
            throw new XapiFailure('MAP_DUPLICATE_KEY', className, field, object.ref, name);
          }
          db.update(object, { [field]: { ...object.map(field), [name]: stringOf('value', value) } });
          return VOID;
        },
      },
    ],
    [
      `${className}.remove_from_${field}`,
      {
        params: 2,
        run: ({ state: { db } }, [ref, key]) => {
          const object = db.get(className, stringOf('self', ref));
          db.update(object, {
            [field]: Object.fromEntries(Object.entries(object.map(field)).filter(([name]) => name !== key)),
          });
          return VOID;
        },
      },
    ],
  ];
}

function setMethods(className: ClassName, field: string): Entry[] {
  const change = (edit: (items: readonly string[], item: string) => readonly string[]): Method => ({
    params: 2,
    run: ({ state: { db } }, [ref, item]) => {
      const object = db.get(className, stringOf('self', ref));
      db.update(object, { [field]: edit(object.list(field), stringOf('value', item)) });
      return VOID;
    },
  });
  return [
    [`${className}.add_${field}`, change((items, item) => (items.includes(item) ? items : [...items, item]))],
    [`${className}.remove_${field}`, change((items, item) => items.filter((other) => other !== item))],
  ];
}
