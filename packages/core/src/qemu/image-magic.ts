/** Every magic that is known stands in so many bytes at the start of a file. */
export const IMAGE_HEAD_LENGTH = 512;

interface Magic {
  readonly format: string;
  readonly offset: number;
  readonly bytes: Buffer;
}

/**
 * How disk images begin that are not raw, by QEMU's name of the format: qcow2 (interop/qcow2.txt, "Header"), VMDK
 * (Virtual Disk Format 5.0, "Hosted Sparse Extent Header" and the descriptor file), VHD (its footer stands first too
 * where it is dynamic), VHDX (MS-VHDX 2.2.1), VDI, QED, and VMA (a Proxmox archive, not an image).
 */
const MAGICS: readonly Magic[] = [
  { format: 'qcow2', offset: 0, bytes: Buffer.from('514649fb', 'hex') },
  { format: 'vmdk', offset: 0, bytes: Buffer.from('KDMV') },
  { format: 'vmdk', offset: 0, bytes: Buffer.from('# Disk DescriptorFile') },
  { format: 'vpc', offset: 0, bytes: Buffer.from('conectix') },
  { format: 'vhdx', offset: 0, bytes: Buffer.from('vhdxfile') },
  { format: 'vdi', offset: 64, bytes: Buffer.from('7f10dabe', 'hex') },
  { format: 'qed', offset: 0, bytes: Buffer.from('QED\0') },
  { format: 'vma', offset: 0, bytes: Buffer.from('VMA\0') },
];

/** The format that the first bytes of a file tell; undefined for a raw disk, as far as anyone can see. */
export function imageFormatOf(head: Buffer): string | undefined {
  return MAGICS.find(({ offset, bytes }) => head.subarray(offset, offset + bytes.length).equals(bytes))?.format;
}
