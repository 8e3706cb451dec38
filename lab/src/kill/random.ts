/** A small generator of numbers in [0, 1) from a seed (Park and Miller), so that a failing series can be repeated. */
export function randomNumbers(seed: number): () => number {
  let state = (Math.abs(Math.floor(seed)) % 2147483646) + 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
