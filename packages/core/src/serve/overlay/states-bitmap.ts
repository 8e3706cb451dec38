/** Where the bytes of a block are: in the disk beneath, in the overlay, or nowhere because they are zero. */
export type BlockState = 'base' | 'data' | 'zero';

const STATES: readonly BlockState[] = ['base', 'data', 'zero'];
const NUMBERS: Readonly<Record<BlockState, number>> = { base: 0, data: 1, zero: 2 };

/** A run of blocks of one state; `first` and `count` are blocks. */
export interface StateRun {
  readonly state: BlockState;
  readonly first: number;
  readonly count: number;
}

/** The state of one block: two bits, the first block in the least significant ones. 3 is none, and is undefined. */
export const stateAt = (states: Buffer, block: number): BlockState | undefined =>
  STATES[((states[block >> 2] ?? 0) >> ((block & 3) * 2)) & 3];

/** Sets `count` blocks from `first` on. */
export function setStates(states: Buffer, run: StateRun): void {
  const { first, count } = run;
  const number = NUMBERS[run.state];
  const end = first + count;
  let block = first;
  for (; block < end && (block & 3) !== 0; block += 1) setOne(states, block, number);
  const whole = (end - block) & ~3;
  if (whole > 0) states.fill(number * 0b0101_0101, block >> 2, (block + whole) >> 2);
  for (block += Math.max(0, whole); block < end; block += 1) setOne(states, block, number);
}

/** Runs of equal states over `count` blocks from `first` on, ascending. */
export function* stateRuns(states: Buffer, { first, count }: { first: number; count: number }): Generator<StateRun> {
  const end = first + count;
  for (let from = first; from < end; ) {
    const state = stateAt(states, from) ?? 'base';
    const repeated = NUMBERS[state] * 0b0101_0101;
    let to = from + 1;
    while (to < end) {
      if ((to & 3) === 0 && to + 4 <= end && states[to >> 2] === repeated) to += 4;
      else if (stateAt(states, to) === state) to += 1;
      else break;
    }
    yield { state, first: from, count: to - from };
    from = to;
  }
}

/** Whether every state is one that is known. */
export function areStates(states: Buffer): boolean {
  return states.every((byte) => (byte & (byte >> 1) & 0b0101_0101) === 0);
}

function setOne(states: Buffer, block: number, number: number): void {
  const at = block >> 2;
  const shift = (block & 3) * 2;
  states[at] = ((states[at] ?? 0) & ~(3 << shift)) | (number << shift);
}
