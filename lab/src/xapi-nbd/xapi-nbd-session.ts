import type net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CLIENT_FLAGS_LENGTH,
  decodeClientFlags,
  decodeOptionHeader,
  decodeRequest,
  encodeExportNameReply,
  encodeGreeting,
  encodeOptionReply,
  encodeServerEntry,
  encodeSimpleReply,
  NBD_CMD_DISC,
  NBD_CMD_READ,
  NBD_CMD_WRITE,
  NBD_EINVAL,
  NBD_EPERM,
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_HAS_FLAGS,
  NBD_FLAG_READ_ONLY,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_LIST,
  NBD_OPT_STARTTLS,
  NBD_REP_ACK,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_UNSUP,
  NBD_REP_SERVER,
  type NbdRequest,
  OPTION_HEADER_LENGTH,
  REQUEST_LENGTH,
  SocketChannel,
  startTls,
} from '@vbackup/core';
import type { XapiNbdDisk, XapiNbdFault, XapiNbdServerOptions } from './xapi-nbd-server.js';

const SECTOR_LENGTH = 512;
/** The engine reads and sends in pieces of 128 pages. */
const PIECE_LENGTH = 512 * 1024;
/** The engine takes any length; a test that sends more has a fault. */
const MAXIMUM_OPTION_LENGTH = 64 * 1024;
const TLS_HANDSHAKE_TIMEOUT_MS = 30_000;
const TLS_RULES = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: 'ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256',
  ecdhCurve: 'secp384r1',
  // The client's preference decides.
  honorCipherOrder: false,
  handshakeTimeout: TLS_HANDSHAKE_TIMEOUT_MS,
} as const;

/** Numbers that all connections of a server share. */
export interface XapiNbdCounter {
  connections: number;
  reads: number;
}

/** One connection, from the greeting to its end. Requests are served one at a time, in order. */
export class XapiNbdSession {
  readonly #options: XapiNbdServerOptions;
  readonly #counter: XapiNbdCounter;
  readonly #connectionIndex: number;
  #socket: net.Socket;
  #channel: SocketChannel;
  #reads = 0;

  constructor(socket: net.Socket, options: XapiNbdServerOptions, counter: XapiNbdCounter) {
    this.#socket = socket;
    this.#channel = new SocketChannel(socket);
    this.#options = options;
    this.#counter = counter;
    this.#connectionIndex = counter.connections;
    counter.connections += 1;
  }

  /** Ends with the connection. Nothing escapes: the real server drops the connection too, whatever it was. */
  async run(): Promise<void> {
    const first = this.#socket;
    try {
      await this.#serve();
    } catch {
      first.destroy();
    }
    // What was written must still arrive; what the client sends from now on is read by nobody.
    if (!first.destroyed) await new Promise<void>((resolve) => this.#socket.end(resolve));
    first.destroy();
  }

  async #serve(): Promise<void> {
    const { mode } = this.#options;
    const decided = typeof mode === 'function' ? await mode() : mode;
    if (decided === 'refuse') return;
    await this.#channel.write([encodeGreeting(NBD_FLAG_FIXED_NEWSTYLE)]);
    const flags = await this.#read(CLIENT_FLAGS_LENGTH);
    if (decided === 'forcedtls') {
      decodeClientFlags(flags);
      await this.#upgrade();
    }
    const exportName = await this.#negotiate(decided === 'forcedtls');
    if (exportName === undefined) return;
    const disk = await this.#options.open(exportName);
    if (disk === null) return;
    try {
      await this.#channel.write([encodeExportNameReply(disk.size, NBD_FLAG_HAS_FLAGS + NBD_FLAG_READ_ONLY, true)]);
      await this.#transmit(disk, exportName);
    } finally {
      await disk.close?.();
    }
  }

  /** In clear, where TLS is demanded. Leaving by an option that is none drops the connection. */
  async #upgrade(): Promise<void> {
    for (;;) {
      const { option } = await this.#nextOption();
      if (option === NBD_OPT_EXPORT_NAME || option === NBD_OPT_ABORT) throw new Error('left before TLS');
      if (option === NBD_OPT_STARTTLS) break;
      await this.#reply(option, NBD_REP_ERR_TLS_REQD);
    }
    await this.#reply(NBD_OPT_STARTTLS, NBD_REP_ACK);
    if (this.#channel.buffered > 0) throw new Error('clear bytes after STARTTLS');
    this.#channel.release();
    const { certificate, key } = this.#options.presentIdentity?.(this.#connectionIndex) ?? this.#options;
    this.#socket = await startTls(this.#socket, { ...TLS_RULES, cert: certificate, key });
    this.#channel = new SocketChannel(this.#socket);
  }

  async #negotiate(insideTls: boolean): Promise<string | undefined> {
    for (;;) {
      const { option, data } = await this.#nextOption();
      if (option === NBD_OPT_EXPORT_NAME) return data.toString();
      if (option === NBD_OPT_ABORT) return undefined;
      if (option === NBD_OPT_LIST) await this.#list();
      else if (option === NBD_OPT_STARTTLS)
        await this.#reply(option, insideTls ? NBD_REP_ERR_INVALID : NBD_REP_ERR_POLICY);
      else await this.#reply(option, NBD_REP_ERR_UNSUP);
    }
  }

  async #list(): Promise<void> {
    const { offer } = this.#options;
    if (offer === undefined) return await this.#reply(NBD_OPT_LIST, NBD_REP_ERR_POLICY);
    for (const name of offer) {
      await this.#channel.write([encodeOptionReply(NBD_OPT_LIST, NBD_REP_SERVER, encodeServerEntry(name))]);
    }
    await this.#reply(NBD_OPT_LIST, NBD_REP_ACK);
  }

  async #transmit(disk: XapiNbdDisk, exportName: string): Promise<void> {
    for (;;) {
      const bytes = await this.#channel.read(REQUEST_LENGTH);
      if (bytes === undefined) return;
      const request = decodeRequest(bytes);
      // The engine reads flags and type as one 32-bit type: a request with any flag is one that it does not know.
      const type = request.flags === 0 ? request.type : undefined;
      if (type === NBD_CMD_DISC) return;
      const error = type === NBD_CMD_READ ? misaligned(request) : type === NBD_CMD_WRITE ? NBD_EPERM : NBD_EINVAL;
      if (error !== 0) return await this.#channel.write([encodeSimpleReply(request.cookie, error)]);
      await this.#answerRead(disk, exportName, request);
    }
  }

  async #answerRead(disk: XapiNbdDisk, exportName: string, request: NbdRequest): Promise<void> {
    const fault = this.#options.onRead?.({
      exportName,
      connectionIndex: this.#connectionIndex,
      readIndex: this.#reads++,
      totalReadIndex: this.#counter.reads++,
      offset: request.offset,
      length: request.length,
    });
    if (fault?.kind === 'delay') await sleep(fault.delayMs);
    if (fault?.kind === 'stall') await new Promise((resolve) => this.#socket.once('close', resolve));
    // Success is said before the first byte is read: an error later can only hang up.
    await this.#channel.write([encodeSimpleReply(request.cookie, 0)]);
    const end = request.offset + request.length;
    const buffer = Buffer.allocUnsafeSlow(Math.min(request.length, PIECE_LENGTH));
    for (let offset = request.offset; offset < end; offset += PIECE_LENGTH) {
      const piece = buffer.subarray(0, Math.min(PIECE_LENGTH, end - offset));
      if (offset + piece.length > disk.size) throw new Error('read beyond the end');
      await disk.read(offset, piece);
      await this.#sendPiece(piece, offset - request.offset, fault);
    }
    if (fault?.kind === 'cut') this.#cut();
  }

  async #sendPiece(piece: Buffer, position: number, fault: XapiNbdFault | undefined): Promise<void> {
    if (fault?.kind === 'corrupt' && position === 0) piece.writeUInt8(255 - piece.readUInt8(0), 0);
    const allowed = fault?.kind === 'cut' ? (fault.afterBytes ?? 0) - position : piece.length;
    if (allowed > 0) await this.#channel.write([piece.subarray(0, allowed)]);
    if (allowed < piece.length) this.#cut();
  }

  #cut(): never {
    throw new Error('cut by a fault');
  }

  #reply(option: number, type: number): Promise<void> {
    return this.#channel.write([encodeOptionReply(option, type)]);
  }

  async #nextOption(): Promise<{ option: number; data: Buffer }> {
    const { option, length } = decodeOptionHeader(await this.#read(OPTION_HEADER_LENGTH));
    if (length > MAXIMUM_OPTION_LENGTH) throw new Error('option too long');
    return { option, data: await this.#read(length) };
  }

  async #read(length: number): Promise<Buffer> {
    const bytes = await this.#channel.read(length);
    if (bytes === undefined) throw new Error('the client left');
    return bytes;
  }
}

const misaligned = (request: NbdRequest): number =>
  request.offset % SECTOR_LENGTH === 0 && request.length % SECTOR_LENGTH === 0 ? 0 : NBD_EINVAL;
