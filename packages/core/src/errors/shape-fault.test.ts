import assert from 'node:assert/strict';
import * as v from 'valibot';
import { shapeError, shapeFault, shapePath } from './shape-fault.js';

const schema = v.object({
  disks: v.array(v.object({ size: v.pipe(v.number(), v.safeInteger(), v.minValue(1)), name: v.string() })),
  mode: v.optional(v.picklist(['fast', 'safe'])),
  text: v.optional(v.pipe(v.string(), v.minLength(1), v.regex(/^[a-z]+$/))),
  even: v.optional(
    v.pipe(
      v.number(),
      v.check((value) => value % 2 === 0, 'it is odd'),
    ),
  ),
  plain: v.optional(
    v.pipe(
      v.string(),
      v.check((value) => value !== 'secret'),
    ),
  ),
});

const issuesOf = (value: unknown): readonly v.BaseIssue<unknown>[] => v.safeParse(schema, value).issues ?? [];

describe('shapeFault', () => {
  for (const [value, path, fault] of [
    ['secret', '', 'expected Object'],
    [{}, 'disks', 'expected "disks"'],
    [{ disks: [{ size: 'secret', name: '' }] }, 'disks.0.size', 'expected number'],
    [{ disks: [{ size: 1.5, name: '' }] }, 'disks.0.size', 'invalid safe integer'],
    [{ disks: [{ size: 0, name: '' }] }, 'disks.0.size', 'expected >=1'],
    [{ disks: [], mode: 'secret but received secret' }, 'mode', 'expected ("fast" | "safe")'],
    [{ disks: [], text: '' }, 'text', 'expected a length of >=1'],
    [{ disks: [], text: 'SECRET\nsecret' }, 'text', 'expected /^[a-z]+$/'],
    [{ disks: [], even: 3 }, 'even', 'it is odd'],
    [{ disks: [], plain: 'secret' }, 'plain', 'invalid input'],
  ] as const) {
    it(`tells what was expected, and nothing of what was there: ${fault}`, () => {
      const [issue] = issuesOf(value);
      assert.ok(issue !== undefined);
      assert.deepEqual([shapePath(issue), shapeFault(issue)], [path, fault]);
    });
  }
});

describe('shapeError', () => {
  it('tells the first issues, where they are, and how many more there are', () => {
    const disk = { size: 'x', name: 1 };
    const { message } = shapeError(issuesOf({ disks: [disk, disk, disk, disk, disk] }));
    assert.match(message, /^disks\.0\.size: expected number; disks\.0\.name: expected string; .*; and 2 more$/);
  });
});
