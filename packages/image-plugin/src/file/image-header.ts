/** Formats that QEMU reads for us, by QEMU's names. */
export type ImageFormat = 'raw' | 'qcow2' | 'vpc' | 'vhdx' | 'vmdk' | 'vdi';

/** What the first and last bytes of a file look like. A guest can write what it likes into its raw disk: believe nothing. */
export interface ImageHeader {
  readonly format: ImageFormat;
  /** What the image needs besides itself, or what QEMU cannot read of it; null where it stands alone. */
  readonly needs: string | null;
  /** QEMU does not read it rightly, told to or not. */
  readonly unreadable?: true | undefined;
  /** Only its last bytes say so, which may as well be the end of a raw disk. */
  readonly trailing?: true | undefined;
}

/** So much of the beginning tells; so much of the end holds the footer of a fixed VHD. */
export const HEAD_LENGTH = 64 * 1024;
export const TAIL_LENGTH = 512;

const RAW: ImageHeader = { format: 'raw', needs: null };

/**
 * Recognises qcow2 (docs/interop/qcow2.txt), VHD (its specification 1.0), VHDX, VMDK (its specification 5.0) and VDI by
 * their headers; everything else is raw.
 * @param head - the first {@link HEAD_LENGTH} bytes, or the whole of a shorter file
 * @param tail - the last {@link TAIL_LENGTH} bytes
 */
export function readImageHeader(head: Buffer, tail: Buffer): ImageHeader {
  return qcow2(head) ?? vhd(head, tail) ?? vhdx(head) ?? vmdk(head) ?? vdi(head) ?? RAW;
}

const text = (bytes: Buffer, offset: number, length: number): string =>
  bytes.toString('latin1', offset, offset + length);

/*
 *   0  'QFI\xfb'    4  version (2 or 3)    8  offset of the backing file's name, 0 for none
 *  32  method of encryption    72  incompatible features (version 3): bit 2 is an external data file
 */
function qcow2(head: Buffer): ImageHeader | null {
  if (head.length < 72 || text(head, 0, 4) !== 'QFI\xfb' || head.readUInt32BE(4) < 2) return null;
  const version = head.readUInt32BE(4);
  const features = version >= 3 ? (head[79] ?? 0) : 0;
  if (Math.floor(features / 4) % 2 === 1) return { format: 'qcow2', needs: 'a data file' };
  if (!isZero(head.subarray(8, 16))) return { format: 'qcow2', needs: 'a backing file' };
  if (head.readUInt32BE(32) !== 0) return { format: 'qcow2', needs: 'a key' };
  return { format: 'qcow2', needs: null };
}

/** The footer, of which a dynamic disk has a copy in front. 60: type (2 fixed, 3 dynamic, 4 differencing). */
function vhd(head: Buffer, tail: Buffer): ImageHeader | null {
  const leading = isFooter(head);
  if (!leading && !isFooter(tail)) return null;
  const type = (leading ? head : tail).readUInt32BE(60);
  // QEMU takes it for a dynamic one, and what lies in the parent for zeros.
  if (type === 4) return { format: 'vpc', needs: 'a parent, which QEMU cannot read', unreadable: true };
  return leading ? { format: 'vpc', needs: null } : { format: 'vpc', needs: null, trailing: true };
}

const isFooter = (bytes: Buffer): boolean => bytes.length >= TAIL_LENGTH && text(bytes, 0, 8) === 'conectix';

/** QEMU itself refuses one that has a parent. */
const vhdx = (head: Buffer): ImageHeader | null =>
  text(head, 0, 8) === 'vhdxfile' ? { format: 'vhdx', needs: null } : null;

/*
 *   0  'KDMV'    12  capacity in sectors, 0: the text says where the data is    28, 36  the text's sector and sectors
 */
function vmdk(head: Buffer): ImageHeader | null {
  const magic = text(head, 0, 4);
  if (text(head, 0, 21) === '# Disk DescriptorFile') return { format: 'vmdk', needs: 'the files that its text names' };
  if (magic === 'COWD') return { format: 'vmdk', needs: 'a descriptor' };
  if (magic !== 'KDMV' || head.length < 512) return null;
  if (isZero(head.subarray(12, 20))) return { format: 'vmdk', needs: 'the files that its text names' };
  // A number that is not exact here is too large all the same.
  const [sector, count] = [Number(head.readBigUInt64LE(28)), Number(head.readBigUInt64LE(36))];
  const end = (sector + count) * 512;
  if (count > 0 && end > head.length) return { format: 'vmdk', needs: 'a descriptor further on' };
  // QEMU looks for a parent's name at the second sector, whatever the header says.
  const words = text(head, 512, Math.max(end - 512, 20 * 512));
  const parentless = /^\s*parentCID\s*=\s*ffffffff\s*$/im.test(words) && !/parentFileNameHint/i.test(words);
  return { format: 'vmdk', needs: count === 0 || parentless ? null : 'a parent' };
}

/*  64  0xbeda107f    76  type (1 dynamic, 2 fixed; QEMU refuses the others) */
const vdi = (head: Buffer): ImageHeader | null =>
  head.length >= 80 && head.readUInt32LE(64) === 0xbeda107f ? { format: 'vdi', needs: null } : null;

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);
