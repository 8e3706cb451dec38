import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { XapiFailure } from '../rpc/call.js';
import { NULL_REF, type XenStruct } from '../rpc/value.js';
import { BACK_REFERENCES, CLASSES, type ClassName } from './schema.js';
import { XenObject } from './xen-object.js';

/** What happened to an object since a generation. */
export interface Change {
  readonly className: ClassName;
  readonly ref: string;
  readonly operation: 'add' | 'mod' | 'del';
  readonly generation: number;
  readonly snapshot: XenStruct | undefined;
}

interface Deletion {
  readonly className: ClassName;
  readonly ref: string;
  readonly created: number;
  readonly generation: number;
}

/** Deletions that `event.from` can still report. */
const MAX_DELETIONS = 10_000;

/** Every object of the host, with a generation that each change moves on: what `event.from` compares. */
export class Database {
  readonly #tables = new Map<ClassName, Map<string, XenObject>>(CLASSES.map((name) => [name, new Map()]));
  readonly #deletions: Deletion[] = [];
  readonly #emitter = new EventEmitter().setMaxListeners(0);
  #generation = 0;

  get generation(): number {
    return this.#generation;
  }

  all(className: ClassName): XenObject[] {
    return [...this.#table(className).values()];
  }

  find(className: ClassName, ref: string): XenObject | undefined {
    return this.#table(className).get(ref);
  }

  /** @throws XapiFailure HANDLE_INVALID */
  get(className: ClassName, ref: string): XenObject {
    const object = this.find(className, ref);
    if (object === undefined) throw new XapiFailure('HANDLE_INVALID', className, ref);
    return object;
  }

  /** @throws XapiFailure UUID_INVALID */
  byUuid(className: ClassName, uuid: string): XenObject {
    const object = this.all(className).find((candidate) => candidate.uuid === uuid);
    if (object === undefined) throw new XapiFailure('UUID_INVALID', className, uuid);
    return object;
  }

  create(className: ClassName, fields: XenStruct): XenObject {
    const object = new XenObject(className, `OpaqueRef:${randomUUID()}`, { uuid: randomUUID(), ...fields });
    this.#table(className).set(object.ref, object);
    object.created = this.#next();
    object.modified = object.created;
    for (const relation of BACK_REFERENCES.filter(({ from }) => from === className)) {
      const target = this.find(relation.to, object.text(relation.field));
      if (target !== undefined) this.update(target, { [relation.back]: [...target.list(relation.back), object.ref] });
    }
    this.#emitter.emit('change');
    return object;
  }

  update(object: XenObject, fields: XenStruct): void {
    object.assign(fields);
    this.touch(object);
  }

  /** Counts as a modification. */
  touch(object: XenObject): void {
    object.modified = this.#next();
    this.#emitter.emit('change');
  }

  remove(object: XenObject): void {
    if (!this.#table(object.className).delete(object.ref)) return;
    const { className, ref, created } = object;
    this.#deletions.push({ className, ref, created, generation: this.#next() });
    if (this.#deletions.length > MAX_DELETIONS) this.#deletions.shift();
    for (const relation of BACK_REFERENCES.filter(({ from }) => from === className)) {
      const target = this.find(relation.to, object.text(relation.field));
      if (target === undefined) continue;
      this.update(target, { [relation.back]: target.list(relation.back).filter((item) => item !== ref) });
    }
    this.#emitter.emit('change');
  }

  /** Changes after a generation, oldest first. */
  changesSince(generation: number): Change[] {
    const present = CLASSES.flatMap((className) => this.all(className))
      .filter((object) => object.modified > generation)
      .map(
        (object): Change => ({
          className: object.className,
          ref: object.ref,
          operation: object.created > generation ? 'add' : 'mod',
          generation: object.modified,
          snapshot: object.record(),
        }),
      );
    const gone = this.#deletions
      .filter((deletion) => deletion.generation > generation && deletion.created <= generation)
      .map((deletion): Change => ({ ...deletion, operation: 'del', snapshot: undefined }));
    return [...present, ...gone].sort((left, right) => left.generation - right.generation);
  }

  /** Makes who waits for a change look again. */
  wake(): void {
    this.#emitter.emit('change');
  }

  /** Resolves at the next change, or when the signal says so. */
  async nextChange(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#emitter.off('change', done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#emitter.on('change', done);
      signal.addEventListener('abort', done);
    });
  }

  /** Who a reference belongs to; undefined for NULL and for what is gone. */
  classOf(ref: string): ClassName | undefined {
    if (ref === NULL_REF) return undefined;
    return CLASSES.find((className) => this.#table(className).has(ref));
  }

  #table(className: ClassName): Map<string, XenObject> {
    const table = this.#tables.get(className);
    if (table === undefined) throw new TypeError(`no class ${className}`);
    return table;
  }

  #next(): number {
    this.#generation += 1;
    return this.#generation;
  }
}
