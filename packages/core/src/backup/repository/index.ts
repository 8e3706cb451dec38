export { type FoundBackup, findBackup } from './find-backup.js';
export { type OpenRepositoryOptions, openRepository } from './open-repository.js';
export { readConfiguration } from './read-configuration.js';
