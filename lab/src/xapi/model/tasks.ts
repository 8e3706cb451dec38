import { describeFailure } from '../rpc/call.js';
import { DateTime, Double, type XenValue } from '../rpc/value.js';
import { formatXmlValue } from '../rpc/xml-rpc.js';
import type { Database } from './database.js';
import type { XenObject } from './xen-object.js';

/** Creates tasks and moves them from `pending` to their end. A task that a client destroyed is left alone. */
export class Tasks {
  readonly #db: Database;
  readonly #host: string;

  constructor(db: Database, host: string) {
    this.#db = db;
    this.#host = host;
  }

  create(name: string, description = ''): XenObject {
    return this.#db.create('task', {
      name_label: name,
      name_description: description,
      created: new DateTime(new Date()),
      status: 'pending',
      type: '<none/>',
      resident_on: this.#host,
      allowed_operations: ['cancel', 'destroy'],
    });
  }

  /** A void result is the empty string, every other one the text of an XML-RPC value. */
  succeed(task: XenObject, result: XenValue): void {
    this.#end(task, {
      status: 'success',
      result: result === '' ? '' : formatXmlValue(result),
      progress: new Double(1),
    });
  }

  fail(task: XenObject, error: unknown): void {
    this.#end(task, { status: 'failure', error_info: describeFailure(error), progress: new Double(1) });
  }

  cancel(task: XenObject): void {
    this.#end(task, { status: 'cancelled', error_info: ['TASK_CANCELLED', task.ref], progress: new Double(1) });
  }

  isPending(task: XenObject): boolean {
    return task.text('status') === 'pending';
  }

  progress(task: XenObject, part: number): void {
    if (this.isPending(task) && this.#db.find('task', task.ref) !== undefined) {
      this.#db.update(task, { progress: new Double(part) });
    }
  }

  #end(task: XenObject, fields: Readonly<Record<string, XenValue>>): void {
    if (!this.isPending(task)) return;
    task.assign({ ...fields, finished: new DateTime(new Date()), allowed_operations: ['destroy'] });
    if (this.#db.find('task', task.ref) !== undefined) this.#db.touch(task);
  }
}
