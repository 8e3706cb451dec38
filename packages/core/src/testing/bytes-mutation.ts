import type { RandomBelow } from './vma-mutation.js';

type Change = (bytes: Buffer, random: RandomBelow) => Buffer;

/** Where headers are: in front. */
const FRONT = 40;

const setByte: Change = (bytes, random) => {
  bytes[random(random(2) === 0 ? Math.min(FRONT, bytes.length) : bytes.length)] = random(256);
  return bytes;
};

const flipBit: Change = (bytes, random) => {
  const at = random(bytes.length);
  const bit = 2 ** random(8);
  const value = bytes[at] ?? 0;
  bytes[at] = Math.floor(value / bit) % 2 === 0 ? value + bit : value - bit;
  return bytes;
};

const cut: Change = (bytes, random) => bytes.subarray(0, random(bytes.length));

const append: Change = (bytes, random) => {
  const from = random(bytes.length);
  const more = [bytes.subarray(from, from + random(3000)), Buffer.alloc(random(3000)), bytes][random(3)] ?? bytes;
  return Buffer.concat([bytes, more]);
};

const remove: Change = (bytes, random) => {
  const from = random(bytes.length);
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + random(random(2) === 0 ? 4 : 2000))]);
};

const repeat: Change = (bytes, random) => {
  const from = random(bytes.length);
  const end = from + 1 + random(1000);
  return Buffer.concat([bytes.subarray(0, end), bytes.subarray(from)]);
};

const CHANGES = [setByte, setByte, flipBit, flipBit, cut, append, remove, repeat];

/** Bytes with one to three faults, whatever they are of. */
export function mutateBytes(valid: Buffer, random: RandomBelow): Buffer {
  let bytes: Buffer = Buffer.from(valid);
  for (let left = 1 + random(3); left > 0 && bytes.length > 0; left -= 1) {
    const change = CHANGES[random(CHANGES.length)] ?? setByte;
    bytes = Buffer.from(change(bytes, random));
  }
  return bytes;
}
