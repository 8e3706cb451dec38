import { randomUUID } from 'node:crypto';
import type { WithSignal } from '@vbackup/core';
import { VBackupError } from '@vbackup/core/errors';
import { whenIdle } from './busy.js';
import type { XenContext } from './context.js';
import { messageOf, XenApiError } from './errors.js';
import { NothingSchema, RefsSchema, VdiSchema } from './records.js';
import { destroyDisk } from './release.js';
import { pause } from './retry.js';
import type { XenSession } from './session.js';
import { callAsync, callIfThere } from './task.js';
import type { XapiValue } from './transport/values.js';

/** Key in `other_config` of a disk that is being made. */
const MARK = 'vbackup:restore';
const CLEANUP_TIMEOUT_MS = 20_000;
/** How often a disk is looked for that may have been made. */
const LOOKS = 3;
const LOOK_PAUSE_MS = 500;

/** The new disk is marked until {@link unmark}: if the answer is lost, it can still be found and destroyed. */
export async function createDisk(
  { session, warn }: XenContext,
  record: Readonly<Record<string, XapiValue>> & { readonly name_label: string },
  options: WithSignal,
): Promise<string> {
  const mark = randomUUID();
  const parameters = [{ ...record, other_config: { [MARK]: mark } }];
  try {
    const once = { ...options, idempotent: false };
    return await whenIdle(() => callAsync(session, 'VDI.create', parameters, once), options);
  } catch (error) {
    // A refusal has made nothing.
    if (!(error instanceof XenApiError)) {
      await destroyMarked(session, record.name_label, mark).catch((left: unknown) => {
        warn({ code: 'VB_XEN_CLEANUP', message: messageOf(left) });
      });
    }
    throw error;
  }
}

/** The new disk is known now. */
export async function unmark(session: XenSession, disk: string, options: WithSignal): Promise<void> {
  await session.call(NothingSchema, 'VDI.remove_from_other_config', [disk, MARK], options);
}

/** The host may still be making it. */
async function destroyMarked(session: XenSession, name: string, mark: string): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
  for (let look = 1; look <= LOOKS; look += 1) {
    for (const disk of await session.call(RefsSchema, 'VDI.get_by_name_label', [name], { signal })) {
      const record = await callIfThere(session, VdiSchema, 'VDI.get_record', [disk], { signal });
      if (record?.other_config[MARK] !== mark) continue;
      await destroyNewDisk(session, disk);
      return;
    }
    await pause(LOOK_PAUSE_MS, signal);
  }
}

/** Has a time of its own, for the user's signal may have been raised. */
export async function destroyNewDisk(session: XenSession, disk: string): Promise<void> {
  const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS);
  await destroyDisk(session, disk, { signal }).catch((error: unknown) => {
    throw new VBackupError('VB_XEN_CLEANUP', `the unfinished disk is still on the pool: ${messageOf(error)}`, {
      cause: error,
      cure: 'destroy it by hand: xe vdi-list name-description="restored by vbackup"',
    });
  });
}
