import assert from 'node:assert/strict';
import { TestStream } from '../testing/test-world.js';
import { LiveLines } from './live-lines.js';
import { Rate } from './rate.js';

/** What a terminal would show: understands what LiveLines writes, and nothing else. */
function screenOf(text: string): string[] {
  const lines = [''];
  const tokens = text.replaceAll('\x1b[1A', '\0UP\0').replaceAll('\x1b[2K', '\0ERASE\0').replaceAll('\n', '\0DOWN\0');
  for (const token of tokens.split('\0')) {
    if (token === 'DOWN') lines.push('');
    else if (token === 'UP') lines.pop();
    else if (token === 'ERASE') lines[lines.length - 1] = '';
    else lines[lines.length - 1] += token;
  }
  return lines.filter((line) => line !== '');
}

describe('LiveLines', () => {
  let terminal = new TestStream();
  let live = new LiveLines(terminal);
  beforeEach(() => {
    terminal = new TestStream();
    live = new LiveLines(terminal);
  });

  it('draws a line per disk in place, with what stays above', () => {
    live.set('a', 'a 1%', 0);
    live.set('b', 'b 1%', 100);
    live.above('a note\n');
    live.set('a', 'a 2%', 200);
    assert.deepEqual(screenOf(terminal.text), ['a note', 'a 2%', 'b 1%']);
    live.remove('a');
    assert.deepEqual(screenOf(terminal.text), ['a note', 'b 1%']);
    live.clear();
    assert.deepEqual(screenOf(terminal.text), ['a note']);
  });

  it('draws at most ten times a second', () => {
    for (let time = 0; time < 1000; time += 10) live.set('a', `a ${time}`, time);
    assert.equal(terminal.text.match(/\n/g)?.length, 10);
  });

  it('never reaches the last column, however narrow the terminal is', () => {
    terminal.columns = 10;
    live.set('a', 'a line that is too long', 0);
    assert.deepEqual(screenOf(terminal.text), ['a line th']);
  });
});

describe('Rate', () => {
  it('is of the last seconds, not of all time', () => {
    const rate = new Rate();
    let done = 0;
    for (let second = 0; second <= 60; second++) rate.update((done += second < 30 ? 100 : 10), second * 1000);
    assert.ok(Math.abs(rate.update(done + 10, 61_000) - 10) < 1);
  });

  it('is nothing before time has passed', () => {
    assert.equal(new Rate().update(100, 5), 0);
  });
});
