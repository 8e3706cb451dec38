import type { OutputEvent, Renderer } from './events.js';

/**
 * For a command that writes an array of its own to standard output, as `map --json`: only an error goes there beside it,
 * as a line of JSON; warnings are for people.
 */
export class ArrayRenderer implements Renderer {
  readonly #json: Renderer;
  readonly #text: Renderer;

  constructor({ json, text }: { readonly json: Renderer; readonly text: Renderer }) {
    this.#json = json;
    this.#text = text;
  }

  show(event: OutputEvent, time: Date): void {
    if (event.type === 'error') this.#json.show(event, time);
    if (event.type === 'warning') this.#text.show(event, time);
  }

  close(): void {
    this.#text.close();
    this.#json.close();
  }
}
