import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { z } from 'zod';
import { DtunnelError, ERRORS, type ErrorCode } from '../base/errors.ts';
import type { LogLevel } from './log-levels.ts';
import { runtimeDir, socketPath } from './paths.ts';
import {
  downReply,
  drainReply,
  errorReply,
  helloReply,
  type DownReply,
  type DrainReply,
  type HelloReply,
  type LogLevelReply,
  logLevelReply,
  PATH_PREFIX,
  PROTOCOL,
  PROTOCOL_HEADER,
  type PingReply,
  pingReply,
  type RekeyReply,
  type ReloadReply,
  rekeyReply,
  reloadReply,
  type RotateReply,
  rotateReply,
  type SwitchReply,
  switchReply,
  type UpgradeReply,
  upgradeReply,
} from './protocol.ts';
import { STATUS_SCHEMA, type StatusDocument, statusDocument } from './status.ts';

/** A status document as it came, for `--json`, and as what this release knows of it. */
export interface StatusAnswer {
  readonly raw: unknown;
  readonly document: StatusDocument;
}

/** How to reach a daemon. */
export interface ControlClientOptions {
  readonly dir?: string;
  /** For an answer, ms; streams have none after the first octet. */
  readonly timeoutMs?: number;
}

/** How long the daemon waits for peers to answer a trial, at most. */
const ROTATE_ASK_MS = 10_000;

/** Replies are bounded as well: a status of ten thousand peers is some 15 MB. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;

/**
 * The daemon of one tunnel, as commands see it. Every failure is a DtunnelError: not running (exit 3), no permission
 * (77), another protocol version (5), time-out (8), or the daemon's own error with its own exit status.
 */
export class ControlClient {
  readonly name: string;
  readonly #path: string;
  readonly #timeoutMs: number;

  constructor(name: string, options: ControlClientOptions = {}) {
    this.name = name;
    this.#path = socketPath(name, options.dir ?? runtimeDir());
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  /** Who answers. */
  hello(): Promise<HelloReply> {
    return this.#call('GET', 'hello', undefined, helloReply);
  }

  /** The daemon's status now. */
  async status(): Promise<StatusAnswer> {
    const raw = await this.#json('GET', 'status', undefined, this.#timeoutMs);
    const parsed = statusDocument.safeParse(raw);
    if (!parsed.success) throw new DtunnelError('S019', `${this.name} does not speak ${STATUS_SCHEMA}`);
    return { raw, document: parsed.data };
  }

  /** Applies the file again, or shows what would change, or goes back. */
  reload(options: { readonly plan: boolean; readonly revert: boolean }): Promise<ReloadReply> {
    return this.#call('POST', 'reload', options, reloadReply);
  }

  /** Fresh handshakes with one peer or all. */
  rekey(peer: string | undefined): Promise<RekeyReply> {
    return this.#call('POST', 'rekey', peer === undefined ? {} : { peer }, rekeyReply);
  }

  /** Drains; the daemon answers when it is idle or `timeoutMs` have passed. */
  drain(timeoutMs: number): Promise<DrainReply> {
    return this.#call('POST', 'drain', { timeoutMs }, drainReply, timeoutMs + this.#timeoutMs);
  }

  /** Replaces the process under the tunnel; `restart` allows a clean restart where sessions cannot be handed over. */
  upgrade(restart: boolean): Promise<UpgradeReply> {
    return this.#call('POST', 'upgrade', { restart }, upgradeReply);
  }

  /** Stops the daemon; it answers when everything is undone, and then ends. */
  down(): Promise<DownReply> {
    return this.#call('POST', 'down', {}, downReply);
  }

  /** One probe through the tunnel. */
  ping(peer: string, timeoutMs: number): Promise<PingReply> {
    return this.#call('POST', 'ping', { peer, timeoutMs }, pingReply, timeoutMs + this.#timeoutMs);
  }

  /** What every enabled peer makes of the certificate that lies beside the one in force. */
  rotateAsk(): Promise<RotateReply> {
    return this.#call('POST', 'rotate/ask', {}, rotateReply, this.#timeoutMs + ROTATE_ASK_MS);
  }

  /** The certificate on disk comes into force, and fresh keys are made with it. */
  rotateSwitch(): Promise<SwitchReply> {
    return this.#call('POST', 'rotate/switch', {}, switchReply);
  }

  /** Logs at `level` from now on, until the next reload or restart. */
  setLogLevel(level: LogLevel): Promise<LogLevelReply> {
    return this.#call('POST', 'log-level', { level }, logLevelReply);
  }

  /** Exposition text of all metrics. */
  async metrics(): Promise<string> {
    return this.#text('GET', 'metrics', undefined, this.#timeoutMs);
  }

  /** Events from now on, until the daemon ends or `signal` aborts. */
  events(signal?: AbortSignal): AsyncGenerator<unknown> {
    return this.#lines('events', signal);
  }

  /** Recent log lines, and with `follow` all that come, until the daemon ends or `signal` aborts. */
  log(follow: boolean, signal?: AbortSignal): AsyncGenerator<unknown> {
    return this.#lines(follow ? 'log?follow' : 'log', signal);
  }

  async #call<T extends z.ZodType>(
    method: string,
    path: string,
    body: object | undefined,
    schema: T,
    timeoutMs = this.#timeoutMs,
  ): Promise<z.infer<T>> {
    const parsed = schema.safeParse(await this.#json(method, path, body, timeoutMs));
    if (!parsed.success)
      throw new DtunnelError('S019', `${this.name} answered ${path} in a form this dtunnel does not know`);
    return parsed.data;
  }

  async #json(method: string, path: string, body: object | undefined, timeoutMs: number): Promise<unknown> {
    return parseReply(this.name, await this.#text(method, path, body, timeoutMs));
  }

  async #text(method: string, path: string, body: object | undefined, timeoutMs: number): Promise<string> {
    const response = await this.#open(method, path, body, timeoutMs);
    try {
      return await textOf(response);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  async *#lines(path: string, signal: AbortSignal | undefined): AsyncGenerator<unknown> {
    const response = await this.#open('GET', path, undefined, this.#timeoutMs, signal);
    response.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of response) {
        const lines = `${rest}${String(chunk)}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) yield parseReply(this.name, line);
      }
    } catch (error) {
      if (signal?.aborted !== true) throw this.#failure(error);
    }
  }

  #open(
    method: string,
    path: string,
    body: object | undefined,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { socketPath: this.#path, method, path: `${PATH_PREFIX}/${path}`, ...(signal === undefined ? {} : { signal }) },
        (response) => {
          clearTimeout(timer);
          this.#accept(response).then(resolve, reject);
        },
      );
      const timer = setTimeout(() => {
        request.destroy(new DtunnelError('S022', `${this.name} did not answer ${path} within ${timeoutMs / 1000} s`));
      }, timeoutMs);
      request.on('error', (error) => {
        clearTimeout(timer);
        reject(this.#failure(error));
      });
      if (body !== undefined) request.setHeader('content-type', 'application/json');
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  async #accept(response: IncomingMessage): Promise<IncomingMessage> {
    const protocol = response.headers[PROTOCOL_HEADER];
    if (protocol !== PROTOCOL) {
      response.resume();
      throw new DtunnelError(
        'S019',
        `${this.name} speaks ${String(protocol ?? 'another protocol')}, this dtunnel ${PROTOCOL}`,
      );
    }
    if (response.statusCode === 200) return response;
    const parsed = errorReply.safeParse(parseReply(this.name, await textOf(response)));
    if (!parsed.success) throw new DtunnelError('S019', `${this.name} answered with status ${response.statusCode}`);
    const { code, message, hint, details } = parsed.data.error;
    throw new DtunnelError(isErrorCode(code) ? code : 'S001', message, { hint, details });
  }

  #failure(error: unknown): DtunnelError {
    if (error instanceof DtunnelError) return error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    switch (code) {
      case 'ENOENT':
      case 'ECONNREFUSED':
        return new DtunnelError('S016', `${this.name} is not running`, { cause: error });
      case 'EACCES':
      case 'EPERM':
        return new DtunnelError('S024', `no permission for ${this.#path}`, { cause: error });
      case 'ECONNRESET':
      case 'EPIPE':
        return new DtunnelError('S016', `${this.name} ended before it answered`, { cause: error });
      default:
        return new DtunnelError('S023', `cannot talk to ${this.#path}: ${String(error)}`, { cause: error });
    }
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    if (!(chunk instanceof Buffer)) continue;
    length += chunk.length;
    if (length > MAX_REPLY_BYTES) throw new DtunnelError('S019', 'the reply is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseReply(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DtunnelError('S019', `${name} did not answer in JSON`, { cause: error });
  }
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
