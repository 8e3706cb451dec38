import type { CommandName } from '../output/events.js';

/** A command line that is right as far as its grammar goes. */
export interface Invocation {
  readonly command: CommandName;
  /** False where `backup` was meant by `--hypervisor` alone. */
  readonly explicit: boolean;
  readonly operands: readonly string[];
  readonly options: Options;
}

/** Options by their long name without dashes, e.g. `log-file`. */
export class Options {
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(values: ReadonlyMap<string, unknown>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    const value = this.#values.get(name);
    return typeof value === 'string' ? value : undefined;
  }

  /** The values of an option that may be given several times, in order. */
  texts(name: string): readonly string[] {
    const value = this.#values.get(name);
    return Array.isArray(value) ? value.filter((text) => typeof text === 'string') : [];
  }

  /** The name of an option that was given an empty text: a variable that was not set, most likely. */
  emptyText(): string | undefined {
    return [...this.#values].find(([, value]) => value === '')?.[0];
  }

  number(name: string): number | undefined {
    const value = this.#values.get(name);
    return typeof value === 'number' ? value : undefined;
  }

  flag(name: string): boolean {
    return this.#values.get(name) === true;
  }

  /** The flags of a plugin, by name, e.g. `xen-url`. */
  of(plugin: string): Record<string, string | boolean> {
    const found: Record<string, string | boolean> = {};
    for (const [name, value] of this.#values) {
      if (!name.startsWith(`${plugin}-`)) continue;
      if (typeof value === 'string' || typeof value === 'boolean') found[name] = value;
    }
    return found;
  }
}
