import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DtunnelError } from '../../src/base/errors.ts';
import { opensslCipherName, shortCipherName } from '../../src/control/cipher-name.ts';
import { ControlClient } from '../../src/control/client.ts';
import { isTunnelName, runtimeDir, socketNames, socketPath } from '../../src/control/paths.ts';
import { MAX_REQUEST_BYTES } from '../../src/control/protocol.ts';
import { type ControlHandlers, ControlServer, isServed } from '../../src/control/server.ts';
import { statusJsonSchema } from '../../src/control/status.ts';
import { exampleStatus } from '../support/status-example.ts';

let dir: string;
let server: ControlServer | undefined;
let bugs: unknown[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dtunnel-control-'));
  bugs = [];
});

afterEach(async () => {
  await server?.close();
  server = undefined;
  rmSync(dir, { recursive: true, force: true });
});

function handlers(over: Partial<ControlHandlers> = {}): ControlHandlers {
  return {
    hello: () => ({ protocol: 'dtunnel.control/1', version: '1.2.3', tunnel: 'paris', pid: 42 }),
    status: () => exampleStatus(),
    reload: async ({ plan }) => ({ applied: !plan, generation: 2, changes: [], durationMs: 1, droppedPackets: 0 }),
    rekey: ({ peer }) => ({ peers: [peer ?? 'all'] }),
    drain: async ({ timeoutMs }) => ({ result: 'drained', sessionsLeft: 0, durationMs: timeoutMs }),
    upgrade: async ({ restart }) => ({
      result: 'restarting',
      reason: `restart ${restart}`,
      peers: 1,
      previousPid: 42,
      previousVersion: '1.2.3',
    }),
    down: async () => ({ changes: ['route 10.1.0.0/16'], told: ['berlin'] }),
    ping: async ({ peer }) => ({ peer, rttMs: 14.1 }),
    rotateAsk: async () => ({ fingerprint: 'aa', peers: [{ name: 'berlin', result: 'known' }] }),
    rotateSwitch: async () => ({ fingerprint: 'aa', generation: 2, peers: ['berlin'] }),
    logLevel: ({ level }) => ({ level, before: 'info' }),
    metrics: async () => 'dtunnel_tunnel_up 1\n',
    recentLog: () => [{ msg: 'first' }, { msg: 'second' }],
    events: () => () => undefined,
    log: () => () => undefined,
    ...over,
  };
}

async function listen(over: Partial<ControlHandlers> = {}): Promise<ControlClient> {
  server = await ControlServer.listen({
    path: socketPath('paris', dir),
    gid: undefined,
    handlers: handlers(over),
    onBug: (error) => bugs.push(error),
  });
  return new ControlClient('paris', { dir, timeoutMs: 2_000 });
}

/** Sends raw octets to the socket and yields all that comes back until the far end closes. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath('paris', dir));
    let reply = '';
    socket.setEncoding('utf8');
    socket.on('data', (chunk) => {
      reply += chunk;
    });
    socket.on('close', () => resolve(reply));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EPIPE' || error.code === 'ECONNRESET' ? undefined : reject(error),
    );
    socket.write(text);
  });
}

const failure = async (promise: Promise<unknown>): Promise<DtunnelError> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DtunnelError);
  return error as DtunnelError;
};

describe('the control socket', () => {
  it('answers every request of the protocol', async () => {
    const client = await listen();
    expect(await client.hello()).toMatchObject({ tunnel: 'paris', pid: 42 });
    expect((await client.status()).document.tunnel.name).toBe('paris');
    expect(await client.reload({ plan: true, revert: false })).toMatchObject({ applied: false });
    expect(await client.rekey('berlin')).toEqual({ peers: ['berlin'] });
    expect(await client.rekey(undefined)).toEqual({ peers: ['all'] });
    expect(await client.drain(5_000)).toMatchObject({ durationMs: 5_000 });
    expect(await client.ping('berlin', 1_000)).toMatchObject({ rttMs: 14.1 });
    expect(await client.setLogLevel('debug')).toEqual({ level: 'debug', before: 'info' });
    expect(await client.metrics()).toBe('dtunnel_tunnel_up 1\n');
    expect(await client.upgrade(false)).toMatchObject({ result: 'restarting', reason: 'restart false' });
    expect(await client.down()).toEqual({ changes: ['route 10.1.0.0/16'], told: ['berlin'] });
  });

  it('is open to owner and group only', async () => {
    await listen();
    expect(statSync(socketPath('paris', dir)).mode & 0o777).toBe(0o660);
  });

  it('vanishes with its daemon', async () => {
    await listen();
    expect(socketNames(dir)).toEqual(['paris']);
    await server?.close();
    server = undefined;
    expect(socketNames(dir)).toEqual([]);
  });

  it('closes only when an answer has left, however slowly it is read, but for no answer that nobody reads', async () => {
    const changes = Array.from({ length: 200_000 }, (_, i) => `route 10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
    await listen({ down: async () => ({ changes, told: [] }), ping: () => new Promise(() => undefined) });
    const ask = (path: string, body: string) => {
      const socket = connect(socketPath('paris', dir));
      socket.write(`POST /v1/${path} HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      return socket;
    };
    const reader = ask('down', '{}');
    const others = [ask('down', '{}'), ask('ping', '{"peer":"berlin","timeoutMs":60000}')];
    await Promise.all([reader, others[0]].map((socket) => new Promise((begun) => socket?.once('readable', begun))));
    const closed = server?.close();
    server = undefined;
    // Longer than anything but a reader that is merely slow may hold it up.
    await new Promise((resolve) => setTimeout(resolve, 400));
    others[0]?.destroy();
    let answer = '';
    reader.setEncoding('utf8');
    for await (const chunk of reader) answer += String(chunk);
    expect(answer).toContain('"told":[]}');
    await closed;
    for (const socket of others) socket.destroy();
  });

  it('replaces the socket of a daemon that died, and refuses that of one that lives', async () => {
    await listen();
    const second = failure(
      ControlServer.listen({
        path: socketPath('paris', dir),
        gid: undefined,
        handlers: handlers(),
        onBug: () => undefined,
      }),
    );
    expect((await second).code).toBe('S015');
    await server?.close();
    await new Promise<void>((resolve) => {
      // A socket file that nobody serves, as kill -9 leaves it: closing removes the name it was bound to, not this one.
      const orphan = createNetServer().listen(join(dir, 'other'), () => {
        renameSync(join(dir, 'other'), socketPath('paris', dir));
        orphan.close(() => resolve());
      });
    });
    expect(await isServed(socketPath('paris', dir))).toBe(false);
    const client = await listen();
    expect(await client.hello()).toMatchObject({ version: '1.2.3' });
  });

  it('never removes a file that is no socket', async () => {
    writeFileSync(socketPath('paris', dir), 'precious');
    await expect(listen()).rejects.toMatchObject({ code: 'S023' });
    expect(readFileSync(socketPath('paris', dir), 'utf8')).toBe('precious');
  });

  it("passes the daemon's own error on with code, hint and details", async () => {
    const client = await listen({
      reload: () => {
        throw new DtunnelError('S030', '2 errors in paris.conf', { details: { items: [1, 2] }, hint: 'fix them' });
      },
    });
    const error = await failure(client.reload({ plan: false, revert: false }));
    expect(error).toMatchObject({ code: 'S030', message: '2 errors in paris.conf', hint: 'fix them', exitCode: 78 });
    expect(error.details).toEqual({ items: [1, 2] });
    expect(bugs).toEqual([]);
  });

  it('tells a bug to the daemon and not to the client', async () => {
    const client = await listen({
      status: () => {
        throw new TypeError('the key is hunter2');
      },
    });
    const error = await failure(client.status());
    expect(error.code).toBe('S001');
    expect(error.message).not.toContain('hunter2');
    expect(bugs).toHaveLength(1);
  });

  it('refuses unknown fields, wrong types, bodies that are no JSON and oversized ones', async () => {
    await listen();
    const post = (path: string, body: string): Promise<string> =>
      raw(
        `POST /v1/${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    for (const [path, body] of [
      ['reload', '{"plan":true,"force":true}'],
      ['reload', '{"plan":"yes"}'],
      ['drain', '{"timeoutMs":-1}'],
      ['drain', '{"timeoutMs":1e300}'],
      ['ping', '{}'],
      ['log-level', '{"level":"silent"}'],
      ['rekey', 'peer=berlin'],
      ['rekey', `{"peer":"${'x'.repeat(MAX_REQUEST_BYTES)}"}`],
    ] as const) {
      const reply = await post(path, body);
      expect(reply, `${path} ${body.slice(0, 40)}`).toMatch(/^HTTP\/1\.1 400/);
      expect(reply).toContain('"code":"S021"');
    }
    expect(bugs).toEqual([]);
  });

  it('survives what is no HTTP at all', async () => {
    const client = await listen();
    await raw('\x00\x01garbage\r\n\r\n');
    expect(await client.hello()).toMatchObject({ tunnel: 'paris' });
  });

  it('says that it does not know a request of a newer CLI (exit 5)', async () => {
    await listen();
    const reply = await raw('POST /v2/teleport HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    expect(reply).toContain('"exit":5');
    expect(reply).toMatch(/dtunnel-control: dtunnel\.control\/1/i);
  });

  it('streams documents as they come and unsubscribes a reader that leaves', async () => {
    const listeners = new Set<(document: object) => void>();
    let left: () => void = () => undefined;
    const unsubscribed = new Promise<void>((resolve) => {
      left = resolve;
    });
    const client = await listen({
      events: (listener) => {
        listeners.add(listener);
        queueMicrotask(() => listener({ event: 'peer.up' }));
        return () => {
          listeners.delete(listener);
          left();
        };
      },
    });
    const abort = new AbortController();
    const seen: unknown[] = [];
    for await (const event of client.events(abort.signal)) {
      seen.push(event);
      for (const listener of listeners) listener({ event: 'peer.down' });
      if (seen.length === 2) abort.abort();
    }
    expect(seen.slice(0, 2)).toEqual([{ event: 'peer.up' }, { event: 'peer.down' }]);
    await unsubscribed;
    expect(listeners.size).toBe(0);
  });

  it('cuts off a stream reader that does not read', async () => {
    let listener: (document: object) => void = () => undefined;
    let left: () => void = () => undefined;
    const cut = new Promise<void>((resolve) => {
      left = resolve;
    });
    await listen({
      events: (given) => {
        listener = given;
        return () => left();
      },
    });
    const socket = connect(socketPath('paris', dir));
    await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
    socket.pause();
    socket.write('GET /v1/events HTTP/1.1\r\nhost: x\r\n\r\n');
    socket.on('error', () => undefined);
    const line = { text: 'x'.repeat(64 * 1024) };
    const pump = setInterval(() => {
      for (let i = 0; i < 50; i++) listener(line);
    }, 1);
    await cut;
    clearInterval(pump);
    socket.destroy();
  });

  it('ends the log after the recent lines unless it is followed', async () => {
    const client = await listen();
    const lines: unknown[] = [];
    for await (const line of client.log(false)) lines.push(line);
    expect(lines).toEqual([{ msg: 'first' }, { msg: 'second' }]);
  });
});

describe('a command without its daemon', () => {
  it('learns that the tunnel is not running (exit 3), be the socket missing or stale', async () => {
    const client = new ControlClient('paris', { dir });
    expect(await failure(client.hello())).toMatchObject({ code: 'S016', exitCode: 3 });
    writeFileSync(socketPath('paris', dir), '');
    expect(await failure(client.hello())).toMatchObject({ code: 'S016', exitCode: 3 });
  });

  it('learns that another protocol version runs (exit 5)', async () => {
    const other = createServer((_request, response) => {
      response.setHeader('dtunnel-control', 'dtunnel.control/9');
      response.end('{}');
    });
    await new Promise<void>((resolve) => other.listen(socketPath('paris', dir), resolve));
    const error = await failure(new ControlClient('paris', { dir }).hello());
    expect(error).toMatchObject({ code: 'S019', exitCode: 5 });
    expect(error.message).toContain('dtunnel.control/9');
    await new Promise<void>((resolve) => other.close(() => resolve()));
  });

  it('gives up on a daemon that hangs (exit 8)', async () => {
    const hung = createServer(() => undefined);
    await new Promise<void>((resolve) => hung.listen(socketPath('paris', dir), resolve));
    const error = await failure(new ControlClient('paris', { dir, timeoutMs: 30 }).hello());
    expect(error).toMatchObject({ code: 'S022', exitCode: 8 });
    hung.closeAllConnections();
    await new Promise<void>((resolve) => hung.close(() => resolve()));
  });
});

describe('names and paths', () => {
  it('accepts tunnel names and nothing that is a path', () => {
    for (const name of ['paris', 'a', 'to_berlin-1.eu+', '123456789012345'])
      expect(isTunnelName(name), name).toBe(true);
    for (const name of ['', '.', '..', 'a/b', '1234567890123456', 'ä', 'a b', 'a\n'])
      expect(isTunnelName(name), name).toBe(false);
  });

  it('finds sockets where the environment says', () => {
    expect(runtimeDir({})).toBe('/run/dtunnel');
    expect(runtimeDir({ DTUNNEL_RUNTIME_DIR: '/tmp/x' })).toBe('/tmp/x');
    expect(socketPath('paris', '/tmp/x')).toBe('/tmp/x/paris.sock');
    expect(socketNames(join(dir, 'missing'))).toEqual([]);
  });

  it('knows suites by the names operators know', () => {
    expect(opensslCipherName('TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256')).toBe('ECDHE-ECDSA-AES128-GCM-SHA256');
    expect(opensslCipherName('TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384')).toBe('ECDHE-RSA-AES256-GCM-SHA384');
    expect(opensslCipherName('TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256')).toBe('ECDHE-ECDSA-CHACHA20-POLY1305');
    expect(opensslCipherName('TLS_NEW')).toBe('TLS_NEW');
    expect(shortCipherName('ECDHE-ECDSA-AES128-GCM-SHA256')).toBe('AES128-GCM');
    expect(shortCipherName('TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256')).toBe('CHACHA20-POLY1305');
  });
});

describe('config/schema/status-1.json', () => {
  it('is what the status schema in the code says (renew it with vitest -u)', async () => {
    const file = join(import.meta.dirname, '../../config/schema/status-1.json');
    await expect(statusJsonSchema()).toMatchFileSnapshot(file);
  });
});
