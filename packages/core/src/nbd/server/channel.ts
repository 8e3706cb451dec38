export interface ReadOptions {
  /** They are the rest of a message, which the peer may not hold back for as long as it likes. */
  readonly begun?: boolean;
  /** For bytes that arrived in pieces, if it is long enough; the caller's again with the result, which may lie in it. */
  readonly scratch?: Buffer | undefined;
}

/** What a server's session speaks through: bytes in order, both ways. Sessions know nothing else of the network. */
export interface Channel {
  /**
   * Exactly `length` bytes, or undefined when the peer ended before the first of them. They belong to the caller.
   * @throws ProtocolError VB_NBD_SERVER_PEER_GONE when the peer ended within them, or the connection broke
   */
  read(length: number, options?: ReadOptions): Promise<Buffer | undefined>;
  /**
   * Queues the parts in one go; settles when they have left this process. `parts` belong to the channel until then.
   * @throws VBackupError VB_NBD_SERVER_PEER_GONE
   */
  write(parts: readonly Buffer[]): Promise<void>;
  /** The peer sends no more, or is gone. */
  readonly ended: boolean;
  /** From now on reads find the peer ended, the one that waits included. */
  stopReading(): void;
}
