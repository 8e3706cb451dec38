import assert from 'node:assert/strict';
import { parseMountTable } from './mount-table.js';

describe('parseMountTable', () => {
  it('reads paths with blanks, types, sources, and lines with any number of optional fields', () => {
    const text = String.raw`22 27 0:21 / /proc rw,nosuid shared:5 master:1 - proc proc rw
102 27 0:43 / /mnt/a\040b\134c/vda.raw rw,nosuid - fuse vbackup rw,user_id=0
no entry
103 27 0:44 / /mnt/x rw - fuse.nbdfuse vbackup rw
`;
    assert.deepEqual(parseMountTable(text), [
      { path: '/proc', type: 'proc', source: 'proc' },
      { path: String.raw`/mnt/a b\c/vda.raw`, type: 'fuse', source: 'vbackup' },
      { path: '/mnt/x', type: 'fuse.nbdfuse', source: 'vbackup' },
    ]);
  });
});
