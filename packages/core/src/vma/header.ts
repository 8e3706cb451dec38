// What it takes to look at the header of an archive, and no more: `vma list` loads this alone.
export { fileChunks } from './archive-file.js';
export { compatListLines } from './compat-list.js';
export { type ArchiveBeginning, readArchiveHeader } from './read-header.js';
