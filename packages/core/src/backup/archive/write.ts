// What it takes to write an archive from disks, and no more: what reads the formats of other tools is loaded by them.
export { type ArchiveShape, type PveShape, plainShape, pveShape, type ShapeArchive } from './archive-shape.js';
export { type DiskInput, InputHypervisor } from './input-hypervisor.js';
export { type JoinedGuest, JoinedHypervisor, type JoinedSource } from './joined-hypervisor.js';
export { type WriteArchiveJob, type WriteArchiveSummary, writeArchive } from './write-archive.js';
