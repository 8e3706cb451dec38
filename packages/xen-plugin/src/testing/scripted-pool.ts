import { apiError } from '../errors.js';
import { Redactor } from '../redactor.js';
import type { SessionOptions } from '../session.js';
import { endpointText } from '../transport/endpoint.js';

export type Answer = (method: string, parameters: readonly unknown[]) => unknown;

/** A pool whose hosts answer by a script; keeps what was asked, as `host method`. */
export class ScriptedPool {
  readonly asked: string[] = [];
  readonly #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  options(more: Partial<SessionOptions> = {}): SessionOptions {
    return {
      endpoint: { host: 'first', port: 443 },
      user: 'root',
      password: 'secret',
      trust: { fingerprints: [] },
      redactor: new Redactor(),
      openTransport: (endpoint) => ({
        endpoint,
        call: async (method, parameters) => {
          this.asked.push(`${endpointText(endpoint)} ${method}`);
          return this.#answer(method, parameters);
        },
        http: () => Promise.reject(new Error('not in this test')),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
      ...more,
    };
  }
}

/** Answers with an error of the API. */
export const fail = (...description: readonly string[]): never => {
  throw apiError('test', description, new Redactor());
};
