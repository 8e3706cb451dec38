/**
 * Runs `action` when everything that is due in this turn of the event loop has run, promises that settle each other
 * included, and before anything more is received: what they all have to send can then leave together.
 */
export function atEndOfTurn(action: () => void): void {
  // The queue of ticks is looked at again when no microtask is left.
  queueMicrotask(() => process.nextTick(action));
}
