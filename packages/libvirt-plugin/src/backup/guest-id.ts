/** Names the place in the repository: the domain's uuid, and the disk where only one is backed up. */
export interface GuestPlace {
  readonly domain: string;
  /** The target name of the only disk; null for all of them. */
  readonly disk: string | null;
}

export const guestId = ({ domain, disk }: GuestPlace): string => (disk === null ? domain : `${domain}:${disk}`);

/** The inverse of {@link guestId}. */
export function parseGuestId(id: string): GuestPlace {
  const [domain = '', disk] = id.split(':');
  return { domain, disk: disk ?? null };
}
