import { ProtocolError } from '../errors/index.js';
import type { VmaDamage } from './archive.js';

/** Damages that are kept with all they say; an archive that is all damage has millions. */
export const MAX_KEPT_DAMAGES = 1000;

/** A damage as the error that strict reading throws. */
export const damageError = ({ code, message, offset }: VmaDamage): ProtocolError =>
  new ProtocolError(code, message, offset);

/** The first damages of an archive, and how many there are. */
export class DamageList {
  readonly #kept: VmaDamage[] = [];
  #count = 0;

  add(damage: VmaDamage): void {
    this.#count += 1;
    if (this.#kept.length < MAX_KEPT_DAMAGES) this.#kept.push(damage);
  }

  addAll({ kept, count }: DamageList): void {
    for (const damage of kept) this.add(damage);
    this.#count += count - kept.length;
  }

  get kept(): readonly VmaDamage[] {
    return this.#kept;
  }

  get count(): number {
    return this.#count;
  }
}
