/** A backup audits no smaller share. */
const MAX_SHARES = 1000;

/** For messages. */
export const AUDIT_SYNTAX = `1/n, n from 1 to ${MAX_SHARES}`;

/** How many shares `1/n` makes; undefined if it is not written so. */
export function parseAudit(text: string): number | undefined {
  const shares = Number(/^1\/([1-9]\d{0,3})$/.exec(text)?.[1]);
  return shares <= MAX_SHARES ? shares : undefined;
}
