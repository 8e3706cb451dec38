import { basename } from 'node:path';
import type { RunningJob } from '../job/index.js';
import type { GuestPlace } from './guest-id.js';

const SOCKET = /^vbackup-([0-9a-z]{8})-[0-9a-z]{26}(?:\.([^.]+))?\.sock$/;
const SCRATCH = /^vbackup-([0-9a-z]{8})-[0-9a-z]{26}\.([^.]+?)(\.alone)?\.scratch$/;

/** @param name - of the checkpoint */
export const socketName = (name: string, { disk }: GuestPlace): string =>
  disk === null ? `${name}.sock` : `${name}.${disk}.sock`;

/** Says whether the disk is backed up alone, for a job over TCP has no socket that would. */
export const scratchName = (name: string, target: string, { disk }: GuestPlace): string =>
  disk === null ? `${name}.${target}.scratch` : `${name}.${target}.alone.scratch`;

/** Whether the files of a job are called like those of the same chain's runs. */
export function isOfChain({ socket, scratches }: RunningJob, repositoryId: string, { disk }: GuestPlace): boolean {
  const repository = repositoryId.slice(0, 8);
  if (socket !== null) {
    const match = SOCKET.exec(basename(socket));
    return match?.[1] === repository && (match[2] ?? null) === disk;
  }
  return scratches.some((scratch) => {
    const match = SCRATCH.exec(basename(scratch));
    if (match?.[1] !== repository) return false;
    return disk === null ? match[3] === undefined : match[3] !== undefined && match[2] === disk;
  });
}
