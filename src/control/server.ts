import { monotonicClock } from '../base/clock.ts';
import { existsSync, lchownSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, Server as NetServer } from 'node:net';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { DtunnelError, ERRORS, EXIT } from '../base/errors.ts';
import {
  type DownReply,
  type DrainReply,
  type DrainRequest,
  drainRequest,
  type ErrorReply,
  type HelloReply,
  type LogLevelReply,
  type LogLevelRequest,
  logLevelRequest,
  MAX_REQUEST_BYTES,
  PATH_PREFIX,
  type PingReply,
  type PingRequest,
  PROTOCOL,
  PROTOCOL_HEADER,
  pingRequest,
  type RekeyReply,
  type RekeyRequest,
  type ReloadReply,
  type ReloadRequest,
  rekeyRequest,
  reloadRequest,
  type RotateReply,
  rotateRequest,
  type SwitchReply,
  type UpgradeReply,
  type UpgradeRequest,
  upgradeRequest,
} from './protocol.ts';
import type { StatusDocument } from './status.ts';

/** Gives a stream its documents; yields the call that ends the subscription. */
export type Subscribe = (listener: (document: object) => void) => () => void;

/** What the daemon answers with. A thrown DtunnelError becomes an error reply; anything else is a bug and says so. */
export interface ControlHandlers {
  hello(): HelloReply;
  status(): StatusDocument;
  reload(request: ReloadRequest): Promise<ReloadReply>;
  rekey(request: RekeyRequest): RekeyReply;
  drain(request: DrainRequest): Promise<DrainReply>;
  upgrade(request: UpgradeRequest): Promise<UpgradeReply>;
  down(): Promise<DownReply>;
  ping(request: PingRequest): Promise<PingReply>;
  rotateAsk(): Promise<RotateReply>;
  rotateSwitch(): Promise<SwitchReply>;
  logLevel(request: LogLevelRequest): LogLevelReply;
  /** Exposition text of all metrics. */
  metrics(): Promise<string>;
  /** Recent log lines, oldest first. */
  recentLog(): readonly object[];
  /** What happens from now on. */
  readonly events: Subscribe;
  /** Log lines from now on. */
  readonly log: Subscribe;
}

/** How to serve. */
export interface ControlServerOptions {
  readonly path: string;
  /** Group that may use the socket; undefined: the process's own. */
  readonly gid: number | undefined;
  readonly handlers: ControlHandlers;
  /** Told of a handler's bug; the client gets a bare `DT_UNEXPECTED`. */
  readonly onBug: (error: unknown) => void;
  /** Listens beside the socket of the daemon that this one takes over from, which puts it in its own place then. */
  readonly beside?: boolean;
}

/** A stream reader that is this far behind is cut off: octets. */
const MAX_STREAM_BACKLOG = 1024 * 1024;

/**
 * For answers to leave a daemon that ends, ms: that of ten thousand peers takes its time on a busy machine. A client that
 * does not read holds nobody up for longer, nor does a request that has no answer yet.
 */
const ANSWER_LIMIT = 5_000;
const UNANSWERED_LIMIT = 250;

/** For answers to leave a daemon that has been taken over from, ms. */
const LEAVE_LIMIT = 500;

/** Requests and streams at once: a handful of humans and scripts, not a service. */
const MAX_CONNECTIONS = 64;

/**
 * The control socket of one daemon. Whoever may open it (mode 0660, root or group dtunnel) may do everything: there is
 * no further authentication.
 */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Server;
  readonly #streams = new Set<ServerResponse>();
  /** Replies that have not left yet. */
  readonly #replies = new Set<ServerResponse>();
  /** Where it is found now. */
  #path: string;

  private constructor(options: ControlServerOptions) {
    this.#options = options;
    this.#path = options.beside === true ? besidePath(options.path) : options.path;
    this.#server = createServer(
      { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 1_000, maxHeaderSize: 8 * 1024 },
      (request, response) => {
        void this.#answer(request, response);
      },
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  /**
   * A server that listens. Throws `DT_ALREADY_RUNNING` when a live daemon holds the path; a stale socket of a daemon that
   * died is replaced.
   */
  static async listen(options: ControlServerOptions): Promise<ControlServer> {
    if (options.beside !== true) await ControlServer.refuseIfServed(options.path);
    const server = new ControlServer(options);
    const path = server.#path;
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path, { force: true });
      await server.#bind();
    } catch (error) {
      throw new DtunnelError('S023', `cannot create control socket ${options.path}: ${reasonOf(error)}`, {
        cause: error,
      });
    }
    return server;
  }

  /** Throws `DT_ALREADY_RUNNING` when a live daemon answers at `path`. */
  static async refuseIfServed(path: string): Promise<void> {
    if (await isServed(path)) throw new DtunnelError('S015', `it runs already (a daemon answers at ${path})`);
  }

  /** Stops listening, ends every stream and removes the socket. */
  async close(): Promise<void> {
    // The listener alone: the close of an HTTP server cuts off answers that were given and have not left.
    const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(this.#server, () => resolve()));
    for (const response of this.#streams) response.end();
    await this.#left(ANSWER_LIMIT);
    this.#server.closeAllConnections();
    await closed;
    rmSync(this.#path, { force: true });
  }

  /** Takes the place of the daemon that this one takes over from; that one has given way, or is gone. */
  takePlace(): void {
    if (existsSync(this.#path)) renameSync(this.#path, this.#options.path);
    this.#path = this.#options.path;
  }

  /** Puts the socket of the daemon that takes over in the place of ours: who connects from now on finds that one. */
  giveWay(): void {
    renameSync(besidePath(this.#path), this.#path);
  }

  /**
   * After `giveWay`: ends every stream and resolves when replies under way have left. The listener stays until the process
   * ends, since closing it would unlink the path it was bound to, which is the other daemon's now.
   */
  async leave(): Promise<void> {
    this.#server.unref();
    for (const response of this.#streams) response.end();
    await this.#left(LEAVE_LIMIT);
    this.#server.closeAllConnections();
  }

  /** Resolves when every answer has left, those that were given within `limitMs`. */
  async #left(limitMs: number): Promise<void> {
    const began = monotonicClock();
    const isAwaited = (response: ServerResponse): boolean =>
      monotonicClock() - began < (response.writableEnded ? limitMs : Math.min(limitMs, UNANSWERED_LIMIT));
    while ([...this.#replies].some(isAwaited)) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async #bind(): Promise<void> {
    const { gid } = this.#options;
    const path = this.#path;
    // unix(7): connecting needs write permission on the socket file, which bind(2) makes with the umask; with this one
    // there is no moment at which others may connect.
    const before = process.umask(0o117);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, () => {
          this.#server.off('error', reject);
          resolve();
        });
      });
    } finally {
      process.umask(before);
    }
    // Not through a link: the directory may belong to a user that we do not trust with more than his own tunnels.
    if (gid !== undefined) lchownSync(path, -1, gid);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader(PROTOCOL_HEADER, PROTOCOL);
    this.#replies.add(response);
    response.on('close', () => this.#replies.delete(response));
    try {
      await this.#route(request, response);
    } catch (error) {
      if (!(error instanceof DtunnelError)) this.#options.onBug(error);
      sendError(response, error);
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { handlers } = this.#options;
    const url = new URL(request.url ?? '/', 'http://localhost');
    switch (`${request.method} ${url.pathname}`) {
      case `GET ${PATH_PREFIX}/hello`:
        return sendJson(response, handlers.hello());
      case `GET ${PATH_PREFIX}/status`:
        return sendJson(response, handlers.status());
      case `POST ${PATH_PREFIX}/reload`:
        return sendJson(response, await handlers.reload(await bodyOf(request, reloadRequest)));
      case `POST ${PATH_PREFIX}/rekey`:
        return sendJson(response, handlers.rekey(await bodyOf(request, rekeyRequest)));
      case `POST ${PATH_PREFIX}/drain`:
        return sendJson(response, await handlers.drain(await bodyOf(request, drainRequest)));
      case `POST ${PATH_PREFIX}/upgrade`:
        return sendJson(response, await handlers.upgrade(await bodyOf(request, upgradeRequest)));
      case `POST ${PATH_PREFIX}/down`:
        return sendJson(response, await handlers.down());
      case `POST ${PATH_PREFIX}/ping`:
        return sendJson(response, await handlers.ping(await bodyOf(request, pingRequest)));
      case `POST ${PATH_PREFIX}/rotate/ask`:
        await bodyOf(request, rotateRequest);
        return sendJson(response, await handlers.rotateAsk());
      case `POST ${PATH_PREFIX}/rotate/switch`:
        await bodyOf(request, rotateRequest);
        return sendJson(response, await handlers.rotateSwitch());
      case `POST ${PATH_PREFIX}/log-level`:
        return sendJson(response, handlers.logLevel(await bodyOf(request, logLevelRequest)));
      case `GET ${PATH_PREFIX}/metrics`:
        response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8');
        response.end(Buffer.from(await handlers.metrics()));
        return;
      case `GET ${PATH_PREFIX}/events`:
        return this.#stream(response, [], handlers.events);
      case `GET ${PATH_PREFIX}/log`:
        return this.#stream(response, handlers.recentLog(), url.searchParams.has('follow') ? handlers.log : undefined);
      default:
        throw new DtunnelError('S019', `this daemon (${PROTOCOL}) does not know ${request.method} ${url.pathname}`);
    }
  }

  #stream(response: ServerResponse, first: readonly object[], subscribe: Subscribe | undefined): void {
    response.setHeader('content-type', 'application/x-ndjson');
    response.flushHeaders();
    const write = (document: object): void => {
      response.write(`${JSON.stringify(document)}\n`);
      if (response.writableLength > MAX_STREAM_BACKLOG) response.destroy();
    };
    for (const document of first) write(document);
    if (subscribe === undefined) {
      response.end();
      return;
    }
    const unsubscribe = subscribe(write);
    this.#streams.add(response);
    response.on('close', () => {
      this.#streams.delete(response);
      unsubscribe();
    });
  }
}

/** Where a daemon listens that is about to take over. Not a name that anybody looks for. */
function besidePath(path: string): string {
  return `${path}.next`;
}

/** Whether a process accepts connections at `path`; false for a path that does not exist or a socket left behind. */
export function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (served: boolean): void => {
      socket.destroy();
      resolve(served);
    };
    socket.once('connect', () => settle(true));
    // Permission denied means that somebody is there whom we may not ask.
    socket.once('error', (error: NodeJS.ErrnoException) => settle(error.code === 'EACCES' || error.code === 'EAGAIN'));
  });
}

async function bodyOf<T extends z.ZodType>(request: IncomingMessage, schema: T): Promise<z.infer<T>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    length += chunk.length;
    if (length > MAX_REQUEST_BYTES) throw new DtunnelError('S021', `request body exceeds ${MAX_REQUEST_BYTES} bytes`);
    chunks.push(chunk);
  }
  const parsed = schema.safeParse(length === 0 ? {} : parseJson(Buffer.concat(chunks).toString('utf8')));
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`);
  throw new DtunnelError('S021', `request refused: ${issues.join('; ')}`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new DtunnelError('S021', 'request body is not JSON');
  }
}

function sendJson(response: ServerResponse, document: object): void {
  response.setHeader('content-type', 'application/json');
  // Octets: of a text of many megabytes node:http would look at every character twice.
  response.end(Buffer.from(`${JSON.stringify(document)}\n`));
}

function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = toErrorReply(error);
  response.statusCode = body.error.exit === EXIT.failure ? 500 : 400;
  // The rest of an oversized body is not read: the connection ends with the reply.
  response.setHeader('connection', 'close');
  sendJson(response, body);
}

/** `error` as it is told to others: operational errors in full, bugs without their inside. */
export function toErrorReply(error: unknown): ErrorReply {
  if (!(error instanceof DtunnelError)) {
    const { id, exit, hint } = ERRORS.S001;
    return { error: { code: 'S001', message: `unexpected failure (${id}), see the daemon's log`, hint, exit } };
  }
  const { code, message, hint, exitCode: exit } = error;
  return { error: { code, message, hint, exit, ...(error.details === undefined ? {} : { details: error.details }) } };
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
