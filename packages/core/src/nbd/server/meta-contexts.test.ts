import assert from 'node:assert/strict';
import { selectContexts } from './meta-contexts.js';

describe('selectContexts', () => {
  const available = ['base:allocation', 'vbackup:changed-since-a', 'vbackup:changed-since-b'];

  it('selects whole names, in the order of the export, and ignores what it does not know', () => {
    const queries = ['qemu:dirty-bitmap:x', 'vbackup:changed-since-b', 'base:allocation', 'base:allocation'];
    assert.deepEqual(selectContexts(available, queries, { listing: false }), [
      'base:allocation',
      'vbackup:changed-since-b',
    ]);
  });

  it('takes a namespace, or nothing, as all of it only when listing', () => {
    assert.deepEqual(selectContexts(available, ['vbackup:'], { listing: true }), available.slice(1));
    assert.deepEqual(selectContexts(available, [], { listing: true }), available);
    assert.deepEqual(selectContexts(available, ['vbackup:'], { listing: false }), []);
    assert.deepEqual(selectContexts(available, [], { listing: false }), []);
  });
});
