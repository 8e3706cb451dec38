/** What does not fit in a value that was parsed, as valibot tells it. */
export interface ShapeIssue {
  readonly message: string;
  /** Where, from the outermost key; missing for the value itself. */
  readonly path?: readonly { readonly key: unknown }[] | undefined;
}

/** How many issues an error tells. */
const TOLD_ISSUES = 8;

/** Keys with dots between, e.g. `disks.0.size`; empty for the value itself. */
export const shapePath = ({ path }: ShapeIssue): string => (path ?? []).map(({ key }) => String(key)).join('.');

/**
 * What was expected, e.g. `expected string`, or the text of a check of our own. What was there instead is left out: it may be a
 * secret, or without end.
 */
export const shapeFault = ({ message }: ShapeIssue): string =>
  message
    .replace(/(?: but |: )received .*$/is, '')
    .replace(/^Invalid length: Expected /, 'expected a length of ')
    .replace(/^Invalid [^:]*: Expected /, 'expected ')
    .replace(/^Invalid /, 'invalid ');

/** What does not fit in a value, as a cause of the error that names the value. */
export function shapeError(issues: readonly ShapeIssue[]): Error {
  const told = issues.slice(0, TOLD_ISSUES).map((issue) => {
    const where = shapePath(issue);
    return where === '' ? shapeFault(issue) : `${where}: ${shapeFault(issue)}`;
  });
  const rest = issues.length - told.length;
  return new Error(`${told.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`);
}
