/** One line of /proc/self/mountinfo: proc(5). */
export interface MountEntry {
  readonly path: string;
  /** e.g. `fuse`, `fuse.nbdfuse`, `ext4` */
  readonly type: string;
  /** What is mounted, in the words of who did it. */
  readonly source: string;
}

/** Reads the text of /proc/self/mountinfo; lines that are no entries are left out. */
export function parseMountTable(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const path = before?.split(' ')[4];
    const [type, source] = (after ?? '').split(' ');
    if (path === undefined || type === undefined || source === undefined) return [];
    return [{ path: unescaped(path), type, source: unescaped(source) }];
  });
}

/** Blank, tab, line feed and backslash are written in octal. */
const unescaped = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_whole, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
