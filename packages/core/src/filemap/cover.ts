import type { AllocationKind, Extent } from '../extent/index.js';
import { endOf } from '../extent/index.js';
import type { ExtentFlags, MapExtent } from './filemap.js';

/** What a method found. */
export interface Finding extends Extent {
  readonly kind: AllocationKind;
  readonly flags?: ExtentFlags | undefined;
  readonly physical?: number | undefined;
}

interface Pending {
  offset: number;
  length: number;
  kind: AllocationKind;
  flags: ExtentFlags | undefined;
  physical: number | undefined;
}

/**
 * Makes a complete cover of a range out of findings in ascending order: what overlaps or lies outside is cut away, and
 * neighbours that say the same are joined.
 */
export class Cover {
  readonly #end: number;
  readonly #gap: AllocationKind;
  #at: number;
  #pending: Pending | undefined;
  #ready: MapExtent[] = [];

  /** @param gap - what lies between findings: a hole where a method names only what is allocated */
  constructor(range: Extent, gap: 'hole' | 'data' = 'hole') {
    this.#gap = gap;
    this.#at = range.offset;
    this.#end = endOf(range);
  }

  add(finding: Finding): void {
    const end = Math.min(endOf(finding), this.#end);
    if (end <= this.#at) return;
    if (finding.offset > this.#at) this.#put(this.#gap, Math.min(finding.offset, this.#end));
    if (end <= this.#at) return;
    const { kind, flags, physical } = finding;
    this.#put(kind, end, flags, physical === undefined ? undefined : physical + this.#at - finding.offset);
  }

  /** What is complete so far, once. */
  take(): readonly MapExtent[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /** The rest of the range is a gap; returns all that was not taken. */
  end(): readonly MapExtent[] {
    if (this.#at < this.#end) this.#put(this.#gap, this.#end);
    if (this.#pending !== undefined) this.#ready.push(finished(this.#pending));
    this.#pending = undefined;
    return this.take();
  }

  #put(kind: AllocationKind, end: number, flags?: ExtentFlags, physical?: number): void {
    const offset = this.#at;
    const length = end - offset;
    this.#at = end;
    const last = this.#pending;
    if (last !== undefined) {
      const place = last.physical === undefined ? undefined : last.physical + last.length;
      if (last.kind === kind && last.flags === flags && place === physical) {
        last.length += length;
        return;
      }
      this.#ready.push(finished(last));
    }
    this.#pending = { offset, length, kind, flags, physical };
  }
}

/** Without the fields that say nothing. */
function finished({ offset, length, kind, flags, physical }: Pending): MapExtent {
  if (flags === undefined)
    return physical === undefined ? { offset, length, kind } : { offset, length, kind, physical };
  return physical === undefined ? { offset, length, kind, flags } : { offset, length, kind, flags, physical };
}
