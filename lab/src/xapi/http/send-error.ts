import type { ServerResponse } from 'node:http';

/** An HTML page, as xapi sends it. */
export function sendError(response: ServerResponse, status: number, title: string): void {
  const body = `<html><body><h1>HTTP ${status} ${title}</h1></body></html>`;
  response.writeHead(status, {
    connection: 'close',
    'content-type': 'text/html',
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}
