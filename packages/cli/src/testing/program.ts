import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { main } from '../main.js';
import { writeTestPlugin } from './test-plugin.js';
import { TestWorld } from './test-world.js';

/** The program in a world of its own, with the plugin `test` and a folder to work in. */
export class TestProgram {
  folder = '';
  world = new TestWorld();

  async start(): Promise<void> {
    this.folder = await mkdtemp(join(tmpdir(), 'vbackup-cli-'));
    this.world = new TestWorld();
    this.world.cwd = this.folder;
    this.world.home = this.folder;
    this.world.env['VBACKUP_CONFIG'] = await writeTestPlugin(this.folder);
    this.world.env['VBACKUP_TEST_URL'] = 'https://host';
    this.world.env['VBACKUP_TEST_PASSWORD'] = 'hunter2';
  }

  stop(): Promise<void> {
    return rm(this.folder, { recursive: true });
  }

  /** Runs a command line without its first word. @returns the exit code */
  run(line: string): Promise<number> {
    return main(line.split(' ').filter(Boolean), this.world);
  }

  /** Expects that nothing was done, and why. */
  async refused(line: string, code: string, exitCode = 2): Promise<void> {
    assert.equal(await this.run(line), exitCode, line);
    assert.match(this.world.stderr.text, new RegExp(`\\[${code}\\]`), line);
    assert.equal(this.world.stdout.text, '', line);
    assert.equal(this.world.fake.jobs.length, 0, line);
  }
}

/** Gives every test around it a program of its own. */
export function testProgram(): TestProgram {
  const program = new TestProgram();
  beforeEach(() => program.start());
  afterEach(() => program.stop());
  return program;
}
