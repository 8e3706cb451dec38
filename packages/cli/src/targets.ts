import type { FileTargetOptions, NbdTargetOptions, OpenTarget, Qcow2TargetOptions } from '@vbackup/core';

// Targets as the core has them. What each kind needs is loaded when the first of it is opened.

export const openFileTarget =
  (path: string, options: FileTargetOptions = {}): OpenTarget =>
  async (specification, opening) => {
    const target = await import('@vbackup/core/backup/target');
    return target.openFileTarget(path, options)(specification, opening);
  };

export const openQcow2Target =
  (path: string, options: Qcow2TargetOptions = {}): OpenTarget =>
  async (specification, opening) => {
    const target = await import('@vbackup/core/qemu');
    return target.openQcow2Target(path, options)(specification, opening);
  };

export const openNbdTarget =
  (uri: string, options: NbdTargetOptions = {}): OpenTarget =>
  async (specification, opening) => {
    const target = await import('@vbackup/core/nbd/device');
    return target.openNbdTarget(uri, options)(specification, opening);
  };

export const openStreamTarget =
  (stream: NodeJS.WritableStream): OpenTarget =>
  async (specification, opening) => {
    const target = await import('@vbackup/core/vma');
    return target.openStreamTarget(stream)(specification, opening);
  };
