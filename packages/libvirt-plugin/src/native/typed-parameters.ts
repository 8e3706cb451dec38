/**
 * virTypedParameter (libvirt-common.h), 96 bytes where pointers have 8:
 *
 *     0  char field[80], ends with a zero byte
 *    80  int type
 *    88  the value: int, unsigned, long long, unsigned long long, double, char, char *
 */
export const TYPED_PARAMETER_LENGTH = 96;
const FIELD_LENGTH = 80;
const TYPE_OFFSET = 80;
const VALUE_OFFSET = 88;

export type ParameterValue = number | boolean | string;

/**
 * Decodes an array of them. Numbers beyond 2^53 − 1, which libvirt uses for "unknown", and types that a newer libvirt may
 * bring are left out.
 * @param textAt - reads the string at an address
 */
export function decodeTypedParameters(
  bytes: Buffer,
  textAt: (pointer: bigint) => string,
): ReadonlyMap<string, ParameterValue> {
  const found = new Map<string, ParameterValue>();
  for (let offset = 0; offset + TYPED_PARAMETER_LENGTH <= bytes.length; offset += TYPED_PARAMETER_LENGTH) {
    const parameter = bytes.subarray(offset, offset + TYPED_PARAMETER_LENGTH);
    const value = valueOf(parameter, textAt);
    if (value !== undefined) found.set(fieldOf(parameter), value);
  }
  return found;
}

function fieldOf(parameter: Buffer): string {
  const end = parameter.subarray(0, FIELD_LENGTH).indexOf(0);
  return parameter.toString('utf8', 0, end === -1 ? FIELD_LENGTH : end);
}

function valueOf(parameter: Buffer, textAt: (pointer: bigint) => string): ParameterValue | undefined {
  switch (parameter.readInt32LE(TYPE_OFFSET)) {
    case 1:
      return parameter.readInt32LE(VALUE_OFFSET);
    case 2:
      return parameter.readUInt32LE(VALUE_OFFSET);
    case 3:
      return safe(parameter.readBigInt64LE(VALUE_OFFSET));
    case 4:
      return safe(parameter.readBigUInt64LE(VALUE_OFFSET));
    case 5:
      return parameter.readDoubleLE(VALUE_OFFSET);
    case 6:
      return parameter.readInt8(VALUE_OFFSET) !== 0;
    case 7: {
      const pointer = parameter.readBigUInt64LE(VALUE_OFFSET);
      return pointer === 0n ? '' : textAt(pointer);
    }
    default:
      return undefined;
  }
}

function safe(value: bigint): number | undefined {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}
