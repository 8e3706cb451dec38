/** The value of a JSON text, or undefined if it is none: a file that was cut off, say. A schema tells the rest. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
