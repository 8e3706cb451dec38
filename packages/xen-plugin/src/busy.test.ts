import assert from 'node:assert/strict';
import * as v from 'valibot';
import { missingOperations } from './busy.js';
import { SrSchema } from './records.js';

const sr = (operations: readonly string[], current: Readonly<Record<string, string>>) =>
  v.parse(SrSchema, {
    uuid: 'sr',
    name_label: 'Local',
    type: 'ext',
    PBDs: [],
    allowed_operations: operations,
    current_operations: current,
  });

describe('missingOperations', () => {
  it('names what idle storage does not offer', () => {
    assert.deepEqual(missingOperations(sr(['vdi_snapshot'], {}), ['vdi_snapshot', 'vdi_enable_cbt']), [
      'vdi_enable_cbt',
    ]);
  });

  it('concludes nothing from storage that is busy', () => {
    assert.deepEqual(missingOperations(sr([], { 'OpaqueRef:task': 'vdi_create' }), ['vdi_snapshot']), []);
  });
});
