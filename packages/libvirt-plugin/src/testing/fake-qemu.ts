import type { MonitorRequest } from '../connection/index.js';

export interface FakeNode {
  readonly name: string;
  readonly file: string;
  /** The node above it, which must be gone first. */
  readonly parent?: string;
  bitmaps: string[];
}

/** The block layer of a QEMU, as its monitor tells and changes it: what is used by something else cannot be removed. */
export class FakeQemu {
  nodes: FakeNode[] = [];
  jobs: { id: string; type: string; status: string }[] = [];
  exports: { id: string; node: string }[] = [];
  serving = false;
  /** The commands that were executed, but for questions. */
  readonly executed: string[] = [];

  execute({ execute, values = {} }: MonitorRequest): unknown {
    if (!execute.startsWith('query-')) this.executed.push([execute, ...Object.values(values)].join(' '));
    const id = values['id'] ?? values['node-name'] ?? values['node'];
    switch (execute) {
      case 'query-named-block-nodes':
        return ok(
          this.nodes.map(({ name, file, bitmaps }) => ({
            'node-name': name,
            file,
            drv: 'qcow2',
            'dirty-bitmaps': bitmaps.map((bitmap) => ({ name: bitmap, granularity: 65_536 })),
          })),
        );
      case 'query-jobs':
        return ok(this.jobs);
      case 'query-block-exports':
        return ok(this.exports.map(({ id: name, node }) => ({ id: name, 'node-name': node, type: 'nbd' })));
      case 'block-export-del':
        return this.#without(this.exports, (each) => each.id === id);
      case 'nbd-server-stop':
        this.serving = false;
        this.exports = [];
        return ok({});
      case 'job-cancel':
        for (const job of this.jobs) if (job.id === id) job.status = 'concluded';
        return ok({});
      case 'job-dismiss':
        return this.#without(this.jobs, (each) => each.id === id && each.status === 'concluded');
      case 'blockdev-del':
        if (this.#isUsed(String(id))) return { error: { class: 'GenericError', desc: `Node ${String(id)} is in use` } };
        return this.#without(this.nodes, (each) => each.name === id);
      case 'block-dirty-bitmap-remove':
        for (const node of this.nodes) {
          if (node.name === id) node.bitmaps = node.bitmaps.filter((bitmap) => bitmap !== values['name']);
        }
        return ok({});
    }
  }

  #isUsed(name: string): boolean {
    const parent = this.nodes.find((each) => each.name === name)?.parent;
    return (
      this.exports.some(({ node }) => node === name) ||
      this.nodes.some((each) => each.name === parent) ||
      (parent === undefined && this.jobs.some(({ type }) => type === 'backup'))
    );
  }

  #without<T>(list: T[], isGone: (each: T) => boolean): unknown {
    const at = list.findIndex(isGone);
    if (at < 0) return { error: { class: 'GenericError', desc: 'not found' } };
    list.splice(at, 1);
    return ok({});
  }
}

const ok = (value: unknown): unknown => ({ return: value });
