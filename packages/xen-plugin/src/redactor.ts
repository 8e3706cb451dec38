const SHORTEST_SECRET = 4;

/** Keeps session tokens and passwords out of every message: they are replaced by a word that says what stood there. */
export class Redactor {
  readonly #secrets = new Map<string, string>();

  /** From now on `secret` is shown as `<name>`, however it is escaped in URLs. */
  add(secret: string, name: string): void {
    if (secret.length < SHORTEST_SECRET) return;
    this.#secrets.set(secret, name);
    this.#secrets.set(encodeURIComponent(secret), name);
  }

  clean(text: string): string {
    let result = text;
    for (const [secret, name] of this.#secrets) result = result.replaceAll(secret, `<${name}>`);
    return result.replace(/(session_id=)(?!<)[^&\s"';]+/g, '$1<session>');
  }
}
