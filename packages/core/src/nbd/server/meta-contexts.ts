/**
 * Which of an export's meta contexts a client's queries name, in the export's order. A whole name selects itself; a
 * namespace with its colon (`base:`), and no query at all, select only when listing.
 * doc/proto.md, "Metadata querying".
 */
export function selectContexts(
  available: readonly string[],
  queries: readonly string[],
  options: { readonly listing: boolean },
): string[] {
  if (queries.length === 0) return options.listing ? [...available] : [];
  // A client may name some thousand: every one is looked at once.
  const asked = new Set(queries);
  return available.filter(
    (name) => asked.has(name) || (options.listing && asked.has(`${name.split(':', 1).join('')}:`)),
  );
}
