/** What a dialogue wants next: bytes of the peer, bytes to the peer, or TLS from here on. */
export type DialogueStep =
  | { readonly read: number }
  | { readonly write: Buffer }
  /** Everything after this step is inside TLS; bytes that arrived in clear before it is done are an attack. */
  | { readonly startTls: true };

/**
 * One side of a conversation, without I/O. It is resumed with the bytes of a `read`, and with an empty buffer after the
 * other steps. A connection that ends during a `read` is thrown into it.
 */
export type Dialogue<Result> = Generator<DialogueStep, Result, Buffer>;
