/**
 * qmrestore calls `vma extract -v -r <fifo> - <folder>`. For every other command `-r` is the repository, which no archive
 * needs; so behind `vma extract` it is `--fifo`.
 */
export function withFifoFlag(args: readonly string[]): readonly string[] {
  const at = args.indexOf('extract');
  if (at < 1 || args[at - 1] !== 'vma') return args;
  const end = args.indexOf('--');
  const isFlag = (index: number): boolean => index > at && (end < 0 || index < end) && args[index] === '-r';
  return args.map((arg, index) => (isFlag(index) ? '--fifo' : arg));
}
