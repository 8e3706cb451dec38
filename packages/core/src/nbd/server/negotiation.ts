import { ProtocolError, VBackupError } from '../../errors/index.js';
import { hasFlag, joinFlags, unknownFlags } from '../protocol-flags.js';
import {
  NBD_FLAG_FIXED_NEWSTYLE,
  NBD_FLAG_NO_ZEROES,
  NBD_MAX_STRING,
  NBD_OPT_ABORT,
  NBD_OPT_EXPORT_NAME,
  NBD_OPT_GO,
  NBD_OPT_INFO,
  NBD_OPT_LIST,
  NBD_OPT_LIST_META_CONTEXT,
  NBD_OPT_SET_META_CONTEXT,
  NBD_OPT_STARTTLS,
  NBD_OPT_STRUCTURED_REPLY,
  NBD_REP_ACK,
  NBD_REP_ERR_BLOCK_SIZE_REQD,
  NBD_REP_ERR_INVALID,
  NBD_REP_ERR_PLATFORM,
  NBD_REP_ERR_POLICY,
  NBD_REP_ERR_TLS_REQD,
  NBD_REP_ERR_TOO_BIG,
  NBD_REP_ERR_UNKNOWN,
  NBD_REP_ERR_UNSUP,
  NBD_REP_INFO,
  NBD_REP_META_CONTEXT,
  NBD_REP_SERVER,
} from '../words.js';
import type { Channel } from './channel.js';
import type { NbdExport } from './export.js';
import { infoReply } from './info-reply.js';
import { selectContexts } from './meta-contexts.js';
import { OpenedExport, type OpenedExportHost } from './opened-export.js';
import {
  boundedText,
  CLIENT_FLAGS_LENGTH,
  decodeClientFlags,
  decodeInfoRequest,
  decodeMetaContextRequest,
  decodeOptionHeader,
  encodeExportNameReply,
  encodeGreeting,
  encodeMetaContext,
  encodeOptionReply,
  encodeServerEntry,
  type InfoRequest,
  OPTION_HEADER_LENGTH,
} from './option-codec.js';
import { type Agreement, transmissionFlags } from './served-export.js';
import type { NbdExportEntry } from './server-options.js';

const HANDSHAKE_FLAGS = joinFlags(NBD_FLAG_FIXED_NEWSTYLE, NBD_FLAG_NO_ZEROES);
/** Data of one option: the longest name, and some hundred queries. */
const MAXIMUM_OPTION_LENGTH = 64 * 1024;
/** What is longer is read away and refused up to here; then the connection is dropped. */
const MAXIMUM_SKIPPED_LENGTH = 1024 * 1024;
const MAXIMUM_OPTIONS = 1_000;

/** What a negotiation needs of the world. */
export interface NegotiationHost extends OpenedExportHost {
  /** Missing: listing is refused. */
  readonly list: (() => Promise<readonly NbdExportEntry[]>) | undefined;
  /** Turns the channel into a TLS one; missing: there is no TLS. Called behind the answer to STARTTLS. */
  readonly upgrade: ((acknowledge: Buffer) => Promise<Channel>) | undefined;
  readonly tlsRequired: boolean;
  readonly maximumRequest: number;
}

export interface Negotiated extends Agreement {
  readonly channel: Channel;
}

type Next = 'more' | 'over' | Agreement;

/**
 * The handshake of one connection: doc/proto.md, "Fixed newstyle negotiation". An export that it opened and does not
 * hand over is closed.
 */
export class Negotiation {
  readonly #host: NegotiationHost;
  readonly #exports: OpenedExport;
  #channel: Channel;
  #secure = false;
  #zeroes = true;
  #structured = false;
  #contexts: { readonly exportName: string; readonly names: readonly string[] } | undefined;

  constructor(channel: Channel, host: NegotiationHost) {
    this.#channel = channel;
    this.#host = host;
    this.#exports = new OpenedExport(host);
  }

  /**
   * Undefined when the client left without an export.
   * @throws VBackupError VB_NBD_SERVER_PROTOCOL, VB_NBD_SERVER_PEER_GONE, VB_NBD_SERVER_TLS
   */
  async run(): Promise<Negotiated | undefined> {
    try {
      const agreement = await this.#negotiate();
      if (agreement === undefined) return undefined;
      this.#exports.handOver();
      return { ...agreement, channel: this.#channel };
    } finally {
      await this.#exports.close();
    }
  }

  async #negotiate(): Promise<Agreement | undefined> {
    await this.#channel.write([encodeGreeting(HANDSHAKE_FLAGS)]);
    const bytes = await this.#channel.read(CLIENT_FLAGS_LENGTH);
    if (bytes === undefined) return undefined;
    const flags = decodeClientFlags(bytes);
    if (unknownFlags(flags, HANDSHAKE_FLAGS) !== 0) throw broken(`client flags 0x${flags.toString(16)}`);
    this.#zeroes = !hasFlag(flags, NBD_FLAG_NO_ZEROES);
    for (let count = 0; count < MAXIMUM_OPTIONS; count += 1) {
      const next = await this.#nextOption();
      if (next === 'over') return undefined;
      if (next !== 'more') return next;
    }
    throw broken(`more than ${MAXIMUM_OPTIONS} options`);
  }

  async #nextOption(): Promise<Next> {
    const bytes = await this.#channel.read(OPTION_HEADER_LENGTH);
    if (bytes === undefined) return 'over';
    const { option, length } = decodeOptionHeader(bytes);
    if (length > MAXIMUM_OPTION_LENGTH) {
      if (length > MAXIMUM_SKIPPED_LENGTH || option === NBD_OPT_EXPORT_NAME) throw broken(`option of ${length} bytes`);
      await this.#data(length);
      return await this.#refuse(option, NBD_REP_ERR_TOO_BIG, `at most ${MAXIMUM_OPTION_LENGTH} bytes`);
    }
    const data = await this.#data(length);
    return await this.#handle(option, data);
  }

  async #data(length: number): Promise<Buffer> {
    const bytes = await this.#channel.read(length);
    if (bytes === undefined) throw new ProtocolError('VB_NBD_SERVER_PEER_GONE', 'the client ended within an option', 0);
    return bytes;
  }

  async #handle(option: number, data: Buffer): Promise<Next> {
    if (option === NBD_OPT_ABORT) return await this.#abort();
    if (option === NBD_OPT_STARTTLS) return await this.#startTls(data);
    if (this.#host.tlsRequired && !this.#secure) {
      if (option === NBD_OPT_EXPORT_NAME) throw broken('an export was asked for before TLS');
      return await this.#refuse(option, NBD_REP_ERR_TLS_REQD, 'TLS is required');
    }
    switch (option) {
      case NBD_OPT_EXPORT_NAME:
        if (data.length > NBD_MAX_STRING) throw broken(`export name of ${data.length} bytes`);
        return await this.#exportName(data.toString());
      case NBD_OPT_INFO:
      case NBD_OPT_GO:
        return await this.#info(option, decodeInfoRequest(data));
      case NBD_OPT_LIST:
        return await this.#list(data);
      case NBD_OPT_STRUCTURED_REPLY:
        if (data.length > 0) return await this.#invalid(option);
        this.#structured = true;
        return await this.#acknowledge(option);
      case NBD_OPT_LIST_META_CONTEXT:
      case NBD_OPT_SET_META_CONTEXT:
        return await this.#metaContexts(option, data);
      default:
        return await this.#refuse(option, NBD_REP_ERR_UNSUP, 'the option is unknown');
    }
  }

  async #abort(): Promise<Next> {
    // The client may be gone before it reads the answer; that is no error.
    await this.#acknowledge(NBD_OPT_ABORT).catch(() => undefined);
    return 'over';
  }

  async #startTls(data: Buffer): Promise<Next> {
    if (data.length > 0 || this.#secure) return await this.#invalid(NBD_OPT_STARTTLS);
    if (this.#host.upgrade === undefined) {
      return await this.#refuse(NBD_OPT_STARTTLS, NBD_REP_ERR_POLICY, 'there is no TLS here');
    }
    this.#channel = await this.#host.upgrade(encodeOptionReply(NBD_OPT_STARTTLS, NBD_REP_ACK));
    this.#secure = true;
    // What was agreed in clear may have come from somebody else.
    this.#structured = false;
    this.#contexts = undefined;
    await this.#exports.close();
    return 'more';
  }

  async #exportName(name: string): Promise<Next> {
    const disk = await this.#exports.open(name);
    // This option has no way to say no.
    if (disk === null || disk instanceof VBackupError) return 'over';
    const flags = transmissionFlags(disk, this.#structured);
    await this.#channel.write([encodeExportNameReply(disk.size, flags, this.#zeroes)]);
    return this.#agree(name, disk);
  }

  async #info(option: number, request: InfoRequest | undefined): Promise<Next> {
    if (request === undefined) return await this.#invalid(option);
    const disk = await this.#exports.open(request.name);
    if (disk === null) return await this.#refuse(option, NBD_REP_ERR_UNKNOWN, 'there is no such export');
    if (disk instanceof VBackupError) return await this.#refuseExport(option, disk);
    const terms = { structured: this.#structured, maximumRequest: this.#host.maximumRequest };
    const infos = infoReply(disk, { ...terms, items: request.items });
    if (infos === undefined) return await this.#refuse(option, NBD_REP_ERR_BLOCK_SIZE_REQD, 'blocks are large here');
    await this.#answer(option, NBD_REP_INFO, infos);
    return option === NBD_OPT_GO ? this.#agree(request.name, disk) : 'more';
  }

  async #list(data: Buffer): Promise<Next> {
    const { list } = this.#host;
    if (data.length > 0) return await this.#invalid(NBD_OPT_LIST);
    if (list === undefined) return await this.#refuse(NBD_OPT_LIST, NBD_REP_ERR_POLICY, 'listing is not allowed');
    let entries: readonly NbdExportEntry[];
    try {
      entries = await list();
    } catch (error) {
      this.#host.onExportError(error);
      return await this.#refuse(NBD_OPT_LIST, NBD_REP_ERR_PLATFORM, 'the exports cannot be listed');
    }
    const replies = entries.map((entry) => encodeServerEntry(entry.name, entry.description));
    return await this.#answer(NBD_OPT_LIST, NBD_REP_SERVER, replies);
  }

  async #metaContexts(option: number, data: Buffer): Promise<Next> {
    const request = decodeMetaContextRequest(data);
    if (request === undefined || !this.#structured) return await this.#invalid(option);
    const disk = await this.#exports.open(request.exportName);
    if (disk === null) return await this.#refuse(option, NBD_REP_ERR_UNKNOWN, 'there is no such export');
    if (disk instanceof VBackupError) return await this.#refuseExport(option, disk);
    const listing = option === NBD_OPT_LIST_META_CONTEXT;
    const names = selectContexts(disk.metaContexts ?? [], request.queries, { listing });
    if (!listing) this.#contexts = { exportName: request.exportName, names };
    const replies = names.map((name, index) => encodeMetaContext(listing ? 0 : index, name));
    return await this.#answer(option, NBD_REP_META_CONTEXT, replies);
  }

  #agree(name: string, disk: NbdExport): Agreement {
    const contexts = this.#contexts?.exportName === name ? this.#contexts.names : [];
    return { disk, structured: this.#structured, contexts };
  }

  async #refuseExport(option: number, error: VBackupError): Promise<Next> {
    if (error.code === 'VB_ACCESS_DENIED') return await this.#refuse(option, NBD_REP_ERR_POLICY, error.message);
    return await this.#refuse(option, NBD_REP_ERR_PLATFORM, 'the export cannot be opened');
  }

  async #answer(option: number, type: number, replies: readonly Buffer[]): Promise<Next> {
    await this.#channel.write([
      ...replies.map((reply) => encodeOptionReply(option, type, reply)),
      encodeOptionReply(option, NBD_REP_ACK),
    ]);
    return 'more';
  }

  #acknowledge(option: number): Promise<Next> {
    return this.#answer(option, NBD_REP_ACK, []);
  }

  #invalid(option: number): Promise<Next> {
    return this.#refuse(option, NBD_REP_ERR_INVALID, 'the option is not well-formed, or comes at the wrong time');
  }

  async #refuse(option: number, type: number, message: string): Promise<Next> {
    await this.#channel.write([encodeOptionReply(option, type, boundedText(message))]);
    return 'more';
  }
}

const broken = (message: string): ProtocolError => new ProtocolError('VB_NBD_SERVER_PROTOCOL', message, 0);
