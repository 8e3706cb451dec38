/** The longest name of a file that file systems take, in bytes. */
const MAX_NAME_LENGTH = 255;

/**
 * Why a name of an archive cannot be the name of a file, or undefined if it can. What an archive says is never used as a
 * path before this was asked.
 */
export function unsafeNameReason(name: string): string | undefined {
  if (name === '') return 'is empty';
  if (name === '.' || name === '..') return 'is a folder';
  if (name.includes('/')) return 'has a slash';
  if (/\p{Cc}/u.test(name)) return 'has a control character';
  if (name.includes('\uFFFD')) return 'is not UTF-8';
  if (Buffer.byteLength(name) > MAX_NAME_LENGTH) return `is longer than ${MAX_NAME_LENGTH} bytes`;
  return undefined;
}
