/** The two halves of a device's number, as `gnu_dev_major` and `gnu_dev_minor` (makedev(3)) take them apart. */
export function deviceNumbers(device: bigint): { readonly major: number; readonly minor: number } {
  const bits = (from: number, count: number): number => Number((device / 2n ** BigInt(from)) % 2n ** BigInt(count));
  return { major: bits(8, 12) + bits(44, 20) * 2 ** 12, minor: bits(0, 8) + bits(20, 24) * 2 ** 8 };
}

/** `8:1`, as sysfs and mountinfo have it. */
export function deviceName(device: bigint): string {
  const { major, minor } = deviceNumbers(device);
  return `${major}:${minor}`;
}
