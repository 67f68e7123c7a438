import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { DtunnelError } from '../../src/base/errors.ts';
import { MetricsHttp, type MetricsHttpOptions, type MetricsPages } from '../../src/metrics/http.ts';

const open: MetricsHttp[] = [];

afterEach(async () => {
  for (const http of open.splice(0)) await http.close();
});

const LOOPBACK = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

async function serve(over: Partial<MetricsHttpOptions> = {}, pages: Partial<MetricsPages> = {}): Promise<MetricsHttp> {
  const http = await MetricsHttp.listen({
    listener: LOOPBACK,
    token: undefined,
    pages: { metrics: async (format) => `# ${format}\n`, notReady: () => [], page: () => '<!doctype html>', ...pages },
    onBug: () => undefined,
    ...over,
  });
  open.push(http);
  return http;
}

interface Reply {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly body: string;
}

function get(http: MetricsHttp, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: http.port, path, headers, method }, (response: IncomingMessage) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, type: response.headers['content-type'], body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

describe('the metrics listener', () => {
  it('serves the format that was asked for', async () => {
    const http = await serve();
    expect(await get(http, '/metrics')).toEqual({
      status: 200,
      type: 'text/plain; version=0.0.4; charset=utf-8',
      body: '# text\n',
    });
    const openMetrics = await get(http, '/metrics?x', { accept: 'application/openmetrics-text' });
    expect(openMetrics).toMatchObject({
      type: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
      body: '# openmetrics\n',
    });
  });

  it('is alive while draining, but not ready, and says why', async () => {
    const http = await serve({}, { notReady: () => ['draining'] });
    expect(await get(http, '/livez')).toMatchObject({ status: 200 });
    expect(await get(http, '/readyz')).toMatchObject({ status: 503, body: 'draining\n' });
  });

  it('offers nothing to change and nothing else to read', async () => {
    const http = await serve();
    expect(await get(http, '/metrics', {}, 'POST')).toMatchObject({ status: 405 });
    expect(await get(http, '/../etc/passwd')).toMatchObject({ status: 404 });
    expect(await get(http, '/')).toMatchObject({ status: 200, type: 'text/html; charset=utf-8' });
    expect(await get(http, '/metrics', {}, 'HEAD')).toMatchObject({ status: 200, body: '' });
  });

  it('asks for the token before it tells anything but health', async () => {
    const http = await serve({ token: 's3cret' });
    for (const headers of [
      {},
      { authorization: 'Bearer wrong' },
      { authorization: 'Bearer ' },
      { authorization: 'Basic s3cret' },
    ]) {
      const reply = await get(http, '/metrics', headers as Record<string, string>);
      expect(reply.status).toBe(401);
      expect(reply.body).not.toContain('s3cret');
    }
    expect(await get(http, '/metrics', { authorization: 'Bearer s3cret' })).toMatchObject({ status: 200 });
    expect(await get(http, '/')).toMatchObject({ status: 401 });
    expect(await get(http, '/livez')).toMatchObject({ status: 200 });
  });

  it('asks for another token from the next request on', async () => {
    const http = await serve({ token: 'former' });
    http.token = 'latter';
    expect(await get(http, '/metrics', { authorization: 'Bearer former' })).toMatchObject({ status: 401 });
    expect(await get(http, '/metrics', { authorization: 'Bearer latter' })).toMatchObject({ status: 200 });
    http.token = undefined;
    expect(await get(http, '/metrics')).toMatchObject({ status: 200 });
  });

  it('makes one document for scrapes that come together', async () => {
    let made = 0;
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const http = await serve(
      {},
      {
        metrics: async () => {
          made += 1;
          await gate;
          return 'x\n';
        },
      },
    );
    const scrapes = Array.from({ length: 5 }, () => get(http, '/metrics'));
    // All five have arrived once a sixth request on the same listener was answered.
    await get(http, '/livez');
    release();
    expect((await Promise.all(scrapes)).map((reply) => reply.body)).toEqual(Array(5).fill('x\n'));
    expect(made).toBeLessThan(5);
    await get(http, '/metrics');
  });

  it('answers a bug with a bare 500 and goes on', async () => {
    const bugs: unknown[] = [];
    const http = await serve(
      { onBug: (error) => bugs.push(error) },
      {
        metrics: () => {
          throw new Error('inside');
        },
      },
    );
    const reply = await get(http, '/metrics');
    expect(reply.status).toBe(500);
    expect(reply.body).not.toContain('inside');
    expect(bugs).toHaveLength(1);
    expect(await get(http, '/livez')).toMatchObject({ status: 200 });
  });

  it('says which port is taken (N003)', async () => {
    const first = await serve();
    const second = serve({ listener: { ...LOOPBACK, port: first.port ?? 0 } });
    const error = await second.then(
      () => undefined,
      (reason: DtunnelError) => reason,
    );
    expect(error?.code).toBe('N003');
    expect(error?.message).toBe(`cannot serve metrics on TCP 127.0.0.1:${first.port}: address in use`);
  });

  it('serves a unix socket, takes over a stale one, and never deletes a file', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'dtunnel-metrics-'));
    const path = join(dir, 'metrics.sock');
    const http = await serve({ listener: { kind: 'unix', path } });
    expect(http.port).toBeUndefined();
    const body = await new Promise<string>((resolve) => {
      const socket = connect(path);
      let text = '';
      socket.setEncoding('utf8');
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('close', () => resolve(text));
      socket.write('GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    });
    expect(body).toMatch(/^HTTP\/1\.1 200/);
    const file = join(dir, 'precious');
    writeFileSync(file, 'data');
    await expect(serve({ listener: { kind: 'unix', path: file } })).rejects.toMatchObject({ code: 'N003' });
    expect(readFileSync(file, 'utf8')).toBe('data');
    rmSync(dir, { recursive: true, force: true });
  });
});
