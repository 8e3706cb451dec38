import assert from 'node:assert/strict';
import { DataEnd } from './data-end.js';

const MAP = `[{ "start": 0, "length": 10, "depth": 0, "present": true, "zero": false, "data": true, "offset": 700},
{ "start": 10, "length": 5000, "depth": 1, "present": true, "zero": false, "data": true, "offset": 9000},
{ "start": 5010, "length": 5000, "depth": 0, "present": true, "zero": false, "data": true, "compressed": true},
{ "start": 10010, "length": 5000, "depth": 0, "present": true, "zero": true, "data": false, "offset": 8000},
{ "start": 15010, "length": 20, "depth": 0, "present": true, "zero": false, "data": true, "offset": 90}]
`;

describe('the end of the data of an image', () => {
  it('is told by what lies in its own file, wherever the map is cut', () => {
    for (let at = 0; at <= MAP.length; at += 1) {
      const found = new DataEnd();
      found.push(Buffer.from(MAP.slice(0, at)));
      found.push(Buffer.from(MAP.slice(at)));
      assert.equal(found.end(), 710);
    }
  });
});
