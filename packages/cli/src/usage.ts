import { VBackupError } from '@vbackup/core/errors';

/** The command line is wrong: exit code 2. */
export const usageError = (message: string, cure = 'see vbackup --help'): VBackupError =>
  new VBackupError('VB_CLI_USAGE', message, { cure });
