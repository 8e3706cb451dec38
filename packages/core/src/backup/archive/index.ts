export type { FinishedArchive } from './archive-draft.js';
export { type ArchiveShape, type PveShape, plainShape, pveShape, type ShapeArchive } from './archive-shape.js';
export { BackupHypervisor, type StoredBackup } from './backup-hypervisor.js';
export { type ExportStreamJob, type ExportStreamSummary, exportStream } from './export-stream.js';
export { type DiskInput, InputHypervisor } from './input-hypervisor.js';
export { type JoinedGuest, JoinedHypervisor, type JoinedSource } from './joined-hypervisor.js';
export { StreamHypervisor } from './stream-hypervisor.js';
export { type OpenedArchive, VmaHypervisor } from './vma-hypervisor.js';
export { type WriteArchiveJob, type WriteArchiveSummary, writeArchive } from './write-archive.js';
