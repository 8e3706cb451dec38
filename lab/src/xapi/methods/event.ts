import { listOf, stringOf } from '../model/coerce.js';
import type { Change, Database } from '../model/database.js';
import { CLASSES } from '../model/schema.js';
import { XapiFailure } from '../rpc/call.js';
import { Double, Int32, type XenValue } from '../rpc/value.js';
import type { Methods } from './method.js';

export const EVENT_METHODS: Methods = {
  /** Marks an object as changed; the token lies before that change. */
  'event.inject': {
    params: 2,
    run: ({ state: { db } }, [className, ref]) => {
      const name = CLASSES.find((candidate) => candidate.toLowerCase() === stringOf('class', className).toLowerCase());
      if (name === undefined) throw new XapiFailure('INVALID_VALUE', 'class', stringOf('class', className));
      const object = db.get(name, stringOf('ref', ref));
      const token = tokenOf(db.generation);
      db.touch(object);
      return token;
    },
  },
  'event.from': {
    params: 3,
    run: async ({ state: { db, sessions }, session, signal }, [classes, token, timeout]) => {
      const wanted = subscription(listOf('classes', classes).map((item) => stringOf('classes', item)));
      const since = generationOf(stringOf('token', token), db);
      if (!(timeout instanceof Double)) throw new XapiFailure('FIELD_TYPE_ERROR', 'timeout');
      const deadline = AbortSignal.any([signal, AbortSignal.timeout(Math.max(0, timeout.value * 1000))]);
      for (;;) {
        // A logout elsewhere ends the wait.
        sessions.get(session.ref);
        const generation = db.generation;
        const changes = db.changesSince(since).filter(wanted);
        if (changes.length > 0 || deadline.aborted) return batch(db, changes, generation);
        await db.nextChange(deadline);
      }
    },
  },
};

function batch(db: Database, changes: readonly Change[], generation: number): XenValue {
  return {
    events: changes.map((change) => ({
      id: change.generation,
      timestamp: '0.0',
      class: change.className.toLowerCase(),
      operation: change.operation,
      ref: change.ref,
      ...(change.snapshot === undefined ? {} : { snapshot: change.snapshot }),
    })),
    valid_ref_counts: Object.fromEntries(
      CLASSES.map((className) => [className.toLowerCase(), new Int32(db.all(className).length)]),
    ),
    token: tokenOf(generation),
  };
}

/** `*`, a class in any case, or `class/ref`. */
function subscription(items: readonly string[]): (change: Change) => boolean {
  const wanted = items.map((item) => {
    const [className = '', ref, ...more] = item.split('/');
    if (className === '' || more.length > 0) throw new XapiFailure('EVENT_SUBSCRIPTION_PARSE_FAILURE', item);
    return { className: className.toLowerCase(), ref };
  });
  return (change) =>
    wanted.some(
      ({ className, ref }) =>
        (className === '*' || className === change.className.toLowerCase()) &&
        (ref === undefined || ref === change.ref),
    );
}

function tokenOf(generation: number): string {
  return `${String(generation).padStart(20, '0')},${'0'.repeat(20)}`;
}

function generationOf(token: string, db: Database): number {
  if (token === '') return 0;
  const match = /^(\d{20}),(\d{20})$/.exec(token);
  if (match === null) throw new XapiFailure('EVENT_FROM_TOKEN_PARSE_FAILURE', token);
  const generation = Number(match[1]);
  if (generation > db.generation) throw new XapiFailure('EVENTS_LOST');
  return generation;
}
