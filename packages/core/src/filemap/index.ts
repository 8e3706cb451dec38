export * from './filemap.js';
