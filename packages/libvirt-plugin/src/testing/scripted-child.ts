import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import { RequestSchema } from '../wire/index.js';

// Stands for the process with libvirt in it, and does what the uri of `open` says: opens, and then misbehaves at `host`.

let script = '';

process.on('disconnect', () => process.exit(0));
process.on('message', (message) => {
  const { id, call, arguments: values } = v.parse(RequestSchema, message);
  if (call === 'open') script = uriOf(values);
  void answer(id, call);
});

async function answer(id: number, call: string): Promise<void> {
  const reply = (value: unknown): void => void process.send?.(value);
  if (call === 'open' && script !== 'crash at open') return reply({ kind: 'result', id, value: null });
  if (call === 'close') return script === 'hang' ? undefined : reply({ kind: 'result', id, value: null });
  if (call === 'domainCapabilities') return reply({ kind: 'result', id, value: environmentText() });
  switch (script) {
    case 'hang':
      return;
    case 'crash':
    case 'crash at open':
      process.stderr.write('free(): invalid pointer\nsecond line\n');
      await delay(50);
      process.kill(process.pid, 'SIGSEGV');
      return;
    case 'exit':
      process.exit(3);
      return;
    case 'garbage':
      return reply('garbage');
    case 'wrong shape':
      return reply({ kind: 'result', id, value: { hostname: 7 } });
    case 'wrong id':
      return reply({ kind: 'result', id: id + 1, value: null });
    case 'unknown event':
      return reply({ kind: 'event', event: { kind: 'birthday' } });
    case 'lost':
      return reply({ kind: 'lost', reason: 'keepalive' });
    case 'refuses and is gone':
      return reply({ kind: 'refused', id, alive: false, error: { code: 38, domain: 7, message: 'Cannot send data' } });
    case 'internal':
      return reply({ kind: 'failed', id, reason: 'internal', message: 'a bug' });
    default:
      return reply({ kind: 'failed', id, reason: 'internal', message: `no script ${script}` });
  }
}

const environmentText = (): string => Object.keys(process.env).sort().join(' ');

function uriOf(values: unknown): string {
  return typeof values === 'object' && values !== null && 'uri' in values ? String(values.uri) : '';
}
