/** virEventHandleType */
export const READABLE = 1;
export const WRITABLE = 2;
export const ERROR = 4;
export const HANGUP = 8;

/** What a descriptor is polled for, in the words of libuv. */
export interface PollWish {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** For a word of virEventHandleType. libuv reports errors and hang-ups to whoever waits for anything. */
export const wishOf = (events: number): PollWish => ({
  readable: (events & (READABLE | ERROR | HANGUP)) !== 0,
  writable: (events & WRITABLE) !== 0,
});

/**
 * A word of virEventHandleType for what koffi's poll reports: a status (0, or an error below), and what was seen. The types of
 * koffi 3.3 leave the status out.
 */
export function eventsOf(report: readonly unknown[]): number {
  const failed = report.some((each) => typeof each === 'number' && each < 0);
  const seen = report.find((each) => typeof each === 'object' && each !== null) ?? {};
  return (
    (failed ? ERROR : 0) |
    (isSet(seen, 'readable') ? READABLE : 0) |
    (isSet(seen, 'writable') ? WRITABLE : 0) |
    (isSet(seen, 'disconnect') ? HANGUP : 0)
  );
}

const isSet = (seen: object, name: string): boolean =>
  Object.entries(seen).some(([key, value]) => key === name && value === true);
