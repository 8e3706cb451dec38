// The constants of VMA version 1. All integers of the format are big-endian, except the length in front of a blob, which
// is two bytes little-endian. See docs/formats/vma.md.

/** "VMA\0" as a big-endian number, at byte 0. */
export const VMA_MAGIC = 0x56_4d_41_00;
export const VMA_VERSION = 1;
/** "VMAE" as a big-endian number, at the beginning of every extent. */
export const VMA_EXTENT_MAGIC = 0x56_4d_41_45;

/** What one bit of a mask stands for. */
export const VMA_BLOCK_LENGTH = 4096;
export const VMA_BLOCKS_PER_CLUSTER = 16;
/** What one slot of an extent describes. */
export const VMA_CLUSTER_LENGTH = VMA_BLOCK_LENGTH * VMA_BLOCKS_PER_CLUSTER;
/** The mask of a cluster whose every block is stored. */
export const VMA_FULL_MASK = 0xffff;

/** The fixed part of the header. The blob buffer begins behind it, the first extent where the header says. */
export const VMA_FIXED_HEADER_LENGTH = 12_288;
/** Where a field of the fixed header begins, in bytes. */
export const VMA_HEADER_AT = {
  magic: 0,
  version: 4,
  uuid: 8,
  ctime: 24,
  md5: 32,
  blobBufferOffset: 48,
  blobBufferLength: 52,
  headerLength: 56,
  reserved: 60,
  configNames: 2044,
  configData: 3068,
  reserved1: 4092,
  devices: 4096,
} as const;
/** Configurations of an archive. A slot counts only if its name and its data pointer are set. */
export const VMA_CONFIG_SLOTS = 256;
/** Devices by their id; slot 0 is never used, slot 255 is what Proxmox does not list. */
export const VMA_DEVICE_SLOTS = 256;
export const VMA_DEVICE_INFO_LENGTH = 32;
/** Where a field of a device's entry begins. */
export const VMA_DEVICE_AT = { namePointer: 0, reserved0: 4, size: 8, reserved1: 16, reserved2: 24 } as const;
/** The devices that Proxmox writes and lists. */
export const VMA_MAX_PVE_DEVICE_ID = 254;

/** The length in front of a blob, u16 little-endian; pointers address it. */
export const VMA_BLOB_LENGTH_FIELD = 2;
export const VMA_MAX_BLOB_LENGTH = 0xffff;
/** Blob buffers, and with them headers, grow by this in the original writer. */
export const VMA_HEADER_STEP = 512;
/** The longest header that Proxmox's writer makes: 8 clusters. */
export const VMA_MAX_PVE_HEADER_LENGTH = 8 * VMA_CLUSTER_LENGTH;
/** The longest header that is read. 256 names, 256 contents and 255 device names of 65,535 bytes come to 50,279,168. */
export const VMA_MAX_HEADER_LENGTH = 64 * 1024 * 1024;

export const VMA_UUID_LENGTH = 16;
export const VMA_MD5_LENGTH = 16;

export const VMA_EXTENT_HEADER_LENGTH = 512;
/** Where a field of an extent's header begins, in bytes from its own beginning. */
export const VMA_EXTENT_AT = { magic: 0, reserved: 4, blockCount: 6, uuid: 8, md5: 24, slots: 40 } as const;
export const VMA_SLOTS_PER_EXTENT = 59;
/** What Proxmox's writer uses of them; other writers fill all. */
export const VMA_PVE_SLOTS_PER_EXTENT = 58;
export const VMA_SLOT_LENGTH = 8;
/** Where a field of a slot begins: mask (u16), a reserved byte that is ignored, device id, cluster index (u32). */
export const VMA_SLOT_AT = { mask: 0, reserved: 2, deviceId: 3, clusterIndex: 4 } as const;
/** Blocks that one extent can store: 944. */
export const VMA_MAX_BLOCKS_PER_EXTENT = VMA_SLOTS_PER_EXTENT * VMA_BLOCKS_PER_CLUSTER;
/** Bytes of the longest extent: 3,867,136. */
export const VMA_MAX_EXTENT_LENGTH = VMA_EXTENT_HEADER_LENGTH + VMA_SLOTS_PER_EXTENT * VMA_CLUSTER_LENGTH;

/** Proxmox counts a device in sectors: what a size has beyond a multiple of this, it loses. */
export const VMA_SECTOR_LENGTH = 512;
/** A cluster index has 32 bits: 256 TiB. */
export const VMA_MAX_DEVICE_SIZE = 2 ** 32 * VMA_CLUSTER_LENGTH;
