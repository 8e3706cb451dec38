import type { CommandName } from '../output/events.js';
import type { RunCommand } from './command.js';

/** Every command, loaded on first use. */
export const COMMANDS: Readonly<Record<CommandName, () => Promise<RunCommand>>> = {
  backup: async () => (await import('./backup.js')).backup,
  list: async () => (await import('./list.js')).list,
  info: async () => (await import('./info.js')).info,
  verify: async () => (await import('./verify.js')).verify,
  restore: async () => (await import('./restore.js')).restore,
  copy: async () => (await import('./copy.js')).copy,
  map: async () => (await import('./map.js')).map,
  serve: async () => (await import('./serve.js')).serve,
  mount: async () => (await import('./mount.js')).mount,
  umount: async () => (await import('./mount.js')).umount,
  doctor: async () => (await import('./doctor.js')).doctor,
  export: async () => (await import('./export.js')).exportBackup,
  import: async () => (await import('./import.js')).importBackup,
  'vma create': async () => (await import('./vma/create.js')).vmaCreate,
  'vma repack': async () => (await import('./vma/repack.js')).vmaRepack,
  'vma list': async () => (await import('./vma/list.js')).vmaList,
  'vma config': async () => (await import('./vma/config.js')).vmaConfig,
  'vma info': async () => (await import('./vma/info.js')).vmaInfo,
  'vma verify': async () => (await import('./vma/verify.js')).vmaVerify,
  'vma extract': async () => (await import('./vma/extract.js')).vmaExtract,
  completion: async () => (await import('./completion.js')).completion,
};
