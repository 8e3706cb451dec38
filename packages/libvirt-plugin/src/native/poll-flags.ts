/** What a libvirt file handle waits for, or saw (virEventHandleType). */
export const READABLE = 1;
export const WRITABLE = 2;
export const ERROR = 4;
export const HANGUP = 8;

export interface PollWish {
  readonly readable: boolean;
  readonly writable: boolean;
}

/** Errors and hang-ups are always reported: as readable, or as disconnect. */
export const wishOf = (events: number): PollWish => ({
  readable: (events & (READABLE | HANGUP | ERROR)) !== 0,
  writable: (events & WRITABLE) !== 0,
});

export const eventsOf = (seen: {
  readonly readable: boolean;
  readonly writable: boolean;
  readonly disconnect: boolean;
}): number => (seen.readable ? READABLE : 0) | (seen.writable ? WRITABLE : 0) | (seen.disconnect ? HANGUP : 0);
