import { calls } from '../wire/index.js';
import { type Handler, handle } from './handler.js';
import { loadMonitorFunction, type MonitorFunction } from './library.js';
import { free, PointerOut, textAt } from './memory.js';
import type { Session } from './session.js';

/** What is asked of a domain's QEMU past libvirt. The library for it is loaded when it is needed, which is almost never. */
export function monitorCalls(session: Session): readonly Handler[] {
  let monitor: MonitorFunction | undefined;
  return [
    handle(calls.monitor, ({ domain, execute, values }) => {
      monitor ??= loadMonitorFunction();
      const command = JSON.stringify({ execute, arguments: values });
      const ask = monitor;
      return session.withDomain(domain, (each) => {
        const answer = new PointerOut();
        session.check(ask(each, command, answer.place, 0));
        if (answer.pointer === 0n) return '';
        try {
          return textAt(answer.pointer);
        } finally {
          free(answer.pointer);
        }
      });
    }),
  ];
}
