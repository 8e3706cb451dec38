export { chooseDisk, type DiskChoice } from './disk-choice.js';
export {
  BOOT_FILES,
  type BootFile,
  type DiskImage,
  type DomainDescription,
  type DomainDisk,
  parseDomain,
} from './domain-xml.js';
export { type DomainQuestion, questionsOf } from './selector.js';
