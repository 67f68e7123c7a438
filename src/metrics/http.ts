import { createHash, timingSafeEqual } from 'node:crypto';
import { lstatSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { DtunnelError } from '../base/errors.ts';
import type { MetricsListener } from '../config/settings.ts';
import { CONTENT_TYPES, type ExpositionFormat, negotiate } from './exposition.ts';

/** What the listener serves. */
export interface MetricsPages {
  metrics(format: ExpositionFormat): Promise<string>;
  /** Why the tunnel should get no traffic now; empty when ready. */
  notReady(): readonly string[];
  /** The status page, HTML. */
  page(): string;
}

/** How to serve. */
export interface MetricsHttpOptions {
  readonly listener: Exclude<MetricsListener, { readonly kind: 'off' }>;
  /** What is needed at first; see `MetricsHttp.token`. */
  readonly token: string | undefined;
  readonly pages: MetricsPages;
  readonly onBug: (error: unknown) => void;
}

/** Scrapers at once; a second Prometheus and a browser are usual, more is a mistake. */
const MAX_CONNECTIONS = 32;

/** A client that takes nothing for this long is cut off, ms. */
const STALL_TIMEOUT = 10_000;

/** The HTTP listener of `/metrics`, `/livez`, `/readyz` and the status page. Reads only: there is nothing to change here. */
export class MetricsHttp {
  /** Needed for `/metrics` and `/` when set, from the next request on; the health checks stay open. */
  token: string | undefined;
  readonly #options: MetricsHttpOptions;
  readonly #server: Server;
  /** Scrapes that come while one is being made share it: a crowd costs no more than one. */
  readonly #pending = new Map<ExpositionFormat, Promise<Buffer>>();

  private constructor(options: MetricsHttpOptions) {
    this.#options = options;
    this.token = options.token;
    this.#server = createServer(
      { requestTimeout: 5_000, headersTimeout: 5_000, keepAliveTimeout: 65_000, maxHeaderSize: 8 * 1024 },
      (request, response) => {
        void this.#answer(request, response);
      },
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.setTimeout(STALL_TIMEOUT, (socket) => socket.destroy());
  }

  /** A listener that is bound; throws `DT_METRICS_BIND`. */
  static async listen(options: MetricsHttpOptions): Promise<MetricsHttp> {
    const http = new MetricsHttp(options);
    const { listener } = options;
    if (listener.kind === 'unix') removeStaleSocket(listener.path);
    // A socket file is made with the umask: with this one nobody else may ever connect.
    const before = process.umask(0o117);
    try {
      await new Promise<void>((resolve, reject) => {
        http.#server.once('error', reject);
        http.#server.listen(
          listener.kind === 'unix' ? { path: listener.path } : { host: listener.host, port: listener.port },
          () => {
            http.#server.off('error', reject);
            resolve();
          },
        );
      });
    } catch (error) {
      const where = listener.kind === 'unix' ? listener.path : `TCP ${listener.host}:${listener.port}`;
      throw new DtunnelError('N003', `cannot serve metrics on ${where}: ${bindReason(error)}`, { cause: error });
    } finally {
      process.umask(before);
    }
    return http;
  }

  /** The TCP port that is bound; undefined on a unix socket. */
  get port(): number | undefined {
    const address = this.#server.address();
    return address === null || typeof address === 'string' ? undefined : address.port;
  }

  /** Stops at once; scrapes under way are cut. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    const { listener } = this.#options;
    if (listener.kind === 'unix') rmSync(listener.path, { force: true });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('x-content-type-options', 'nosniff');
    response.setHeader('cache-control', 'no-store');
    try {
      await this.#route(request, response);
    } catch (error) {
      this.#options.onBug(error);
      if (response.headersSent) response.destroy();
      else send(response, 500, 'text/plain; charset=utf-8', 'unexpected failure, see the log\n');
    }
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pages } = this.#options;
    const path = (request.url ?? '/').split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      return send(response, 405, TEXT, 'only GET and HEAD\n');
    }
    switch (path) {
      case '/livez':
        return send(response, 200, TEXT, 'ok\n');
      case '/readyz': {
        const reasons = pages.notReady();
        return send(response, reasons.length === 0 ? 200 : 503, TEXT, `${reasons.join('\n') || 'ok'}\n`);
      }
      case '/metrics': {
        if (!this.#admits(request, response)) return;
        const format = negotiate(request.headers.accept);
        return send(response, 200, CONTENT_TYPES[format], await this.#scrape(format));
      }
      case '/': {
        if (!this.#admits(request, response)) return;
        response.setHeader('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'");
        return send(response, 200, 'text/html; charset=utf-8', pages.page());
      }
      default:
        return send(response, 404, TEXT, 'there are /metrics, /livez, /readyz and /\n');
    }
  }

  #admits(request: IncomingMessage, response: ServerResponse): boolean {
    const { token } = this;
    if (token === undefined) return true;
    const given = /^Bearer ([^\s]+)$/i.exec(request.headers.authorization ?? '')?.[1];
    // Digests are compared, so that neither content nor length of the token shows in the time it takes.
    const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
    if (given !== undefined && timingSafeEqual(digest(given), digest(token))) return true;
    response.setHeader('www-authenticate', 'Bearer realm="dtunnel"');
    send(response, 401, TEXT, 'the MetricsToken is needed: Authorization: Bearer …\n');
    return false;
  }

  #scrape(format: ExpositionFormat): Promise<Buffer> {
    const pending = this.#pending.get(format);
    if (pending !== undefined) return pending;
    const made = this.#options.pages
      .metrics(format)
      .then((text) => Buffer.from(text))
      .finally(() => this.#pending.delete(format));
    this.#pending.set(format, made);
    return made;
  }
}

/** Removes what a daemon that died left at `path`; anything but a socket stays, and binding fails on it. */
function removeStaleSocket(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) rmSync(path, { force: true });
}

const TEXT = 'text/plain; charset=utf-8';

function send(response: ServerResponse, status: number, contentType: string, body: string | Buffer): void {
  response.statusCode = status;
  response.setHeader('content-type', contentType);
  response.setHeader('content-length', Buffer.byteLength(body));
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

function bindReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EADDRINUSE') return 'address in use';
  if (code === 'EADDRNOTAVAIL') return 'this machine does not have that address';
  if (code === 'EACCES') return 'permission denied';
  return error instanceof Error ? error.message : String(error);
}
