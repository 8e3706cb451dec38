import { isList, isStruct, type XenStruct, type XenValue } from '../rpc/value.js';
import { defaultOf } from './coerce.js';
import { type ClassName, fieldsOf } from './schema.js';

/** One object of the database. Its getters know the kind of the field; a wrong name is a mistake of the lab. */
export class XenObject {
  readonly className: ClassName;
  readonly ref: string;
  /** Generations, kept by the database. */
  created = 0;
  modified = 0;
  readonly #fields = new Map<string, XenValue>();

  constructor(className: ClassName, ref: string, fields: XenStruct) {
    this.className = className;
    this.ref = ref;
    for (const { name, kind } of fieldsOf(className).values()) this.#fields.set(name, defaultOf(kind));
    this.assign(fields);
  }

  get uuid(): string {
    return this.text('uuid');
  }

  assign(fields: XenStruct): void {
    for (const [name, value] of Object.entries(fields)) {
      if (!this.#fields.has(name)) throw new TypeError(`${this.className} has no field ${name}`);
      this.#fields.set(name, value);
    }
  }

  get(name: string): XenValue {
    const value = this.#fields.get(name);
    if (value === undefined) throw new TypeError(`${this.className} has no field ${name}`);
    return value;
  }

  text(name: string): string {
    const value = this.get(name);
    if (typeof value !== 'string') throw new TypeError(`${this.className}.${name} is not a string`);
    return value;
  }

  number(name: string): number {
    const value = this.get(name);
    if (typeof value !== 'number') throw new TypeError(`${this.className}.${name} is not an integer`);
    return value;
  }

  flag(name: string): boolean {
    return this.get(name) === true;
  }

  list(name: string): readonly string[] {
    const value = this.get(name);
    return isList(value) ? value.filter((item) => typeof item === 'string') : [];
  }

  map(name: string): XenStruct {
    const value = this.get(name);
    return isStruct(value) ? value : {};
  }

  record(): XenStruct {
    return Object.fromEntries(this.#fields);
  }
}
