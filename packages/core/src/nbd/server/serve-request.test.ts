import assert from 'node:assert/strict';
import { NBD_CMD_BLOCK_STATUS } from '../words.js';
import type { NbdExport } from './export.js';
import { bytesHeldBy, serveRequest } from './serve-request.js';

describe('block status of many contexts', () => {
  const request = { type: NBD_CMD_BLOCK_STATUS, flags: 0, cookie: 1n, offset: 0, length: 2 ** 32 - 1 };

  it('takes no more memory than that of some', async () => {
    const asked: (number | undefined)[] = [];
    const disk: NbdExport = {
      name: '',
      size: 2 ** 40,
      readOnly: true,
      read: async () => undefined,
      status: async (_context, range, options) => {
        asked.push(options?.maximum);
        return [{ length: range.length, flags: 0 }];
      },
    };
    for (const count of [1, 16, 1_001]) {
      const contexts = Array.from({ length: count }, (_, index) => `vbackup:${index}`);
      const agreement = { disk, structured: true, contexts };
      assert.ok(bytesHeldBy(request, agreement) <= 16 * 1024 * 1024, `${count} contexts`);
      asked.length = 0;
      const reply = await serveRequest(request, Buffer.alloc(0), { ...agreement, signal: AbortSignal.timeout(60_000) });
      assert.equal(reply.length, count);
      const sum = asked.reduce<number>((all, maximum) => all + (maximum ?? Number.POSITIVE_INFINITY), 0);
      assert.ok(sum <= 262_144, `${sum} extents for ${count} contexts`);
      assert.ok(asked.every((maximum) => maximum !== undefined && maximum >= 256));
    }
  });
});
