import { resolve } from 'node:path';
import type { Invocation } from '../grammar/invocation.js';
import type { Scan } from '../grammar/scan.js';
import type { World } from '../world.js';
import { ArrayRenderer } from './array-renderer.js';
import type { Renderer } from './events.js';
import { JsonRenderer } from './json-renderer.js';
import { LogRenderer } from './log-renderer.js';
import { TextRenderer } from './text-renderer.js';

/** The renderers that the options ask for: text or JSON, and perhaps a log. */
export function renderersFor(world: World, { command, options }: Invocation): Renderer[] {
  const quiet = options.flag('quiet');
  const progress = options.flag('progress') && !quiet;
  const color = options.flag('color') && hasColor(world);
  const text = new TextRenderer(world, { quiet, progress, color, verbose: options.flag('verbose') });
  const json = new JsonRenderer(world.stdout, { quiet, progress });
  const isArray = command === 'map' && !options.flag('totals');
  const shown = !options.flag('json') ? text : isArray ? new ArrayRenderer({ json, text }) : json;
  const file = options.text('log-file');
  return file === undefined ? [shown] : [shown, new LogRenderer(resolve(world.cwd, file))];
}

/** For errors that come before the options are known. */
export function fallbackRenderers(world: World, { json, verbose }: Scan): Renderer[] {
  if (json) return [new JsonRenderer(world.stdout, { quiet: false, progress: false })];
  return [new TextRenderer(world, { quiet: false, verbose, progress: false, color: hasColor(world) })];
}

/** NO_COLOR: any value that is not empty, as no-color.org says. */
const hasColor = ({ stderr, env }: World): boolean => stderr.isTTY && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
