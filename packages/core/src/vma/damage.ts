import { ProtocolError } from '../errors/index.js';
import type { VmaDamage } from './archive.js';

/** A damage as the error that strict reading throws. */
export const damageError = ({ code, message, offset }: VmaDamage): ProtocolError =>
  new ProtocolError(code, message, offset);
