import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { DtunnelError } from '../../src/base/errors.ts';
import * as downCommand from '../../src/cli/commands/down.ts';
import * as drainCommand from '../../src/cli/commands/drain.ts';
import * as upgradeCommand from '../../src/cli/commands/upgrade.ts';
import * as logsCommand from '../../src/cli/commands/logs.ts';
import * as pingCommand from '../../src/cli/commands/ping.ts';
import * as reloadCommand from '../../src/cli/commands/reload.ts';
import * as statusCommand from '../../src/cli/commands/status.ts';
import * as versionCommand from '../../src/cli/commands/version.ts';
import { failureJson, failureText } from '../../src/cli/failure.ts';
import type { Io } from '../../src/cli/io.ts';
import { diskFiles } from '../../src/daemon/config-files.ts';
import { socketPath } from '../../src/control/paths.ts';
import { type ControlHandlers, ControlServer } from '../../src/control/server.ts';
import { examplePeer, exampleStatus } from '../support/status-example.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';

const directory = useTemporaryDirectory();
const servers: ControlServer[] = [];

afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** Where commands run in these tests: nothing but what the test put there. */
function world(): { readonly io: Io; readonly out: () => string; readonly err: () => string } {
  let out = '';
  let err = '';
  const io: Io = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    colour: { out: false, err: false },
    unicode: true,
    cwd: directory.path(),
    env: { DTUNNEL_RUNTIME_DIR: directory.path(), DTUNNEL_CONFIG_DIR: directory.path() },
    files: diskFiles,
    input: async () => new Uint8Array(0),
    now: () => 1_795_389_247,
    uid: 1000,
  };
  return { io, out: () => out, err: () => err };
}

async function daemon(name: string, over: Partial<ControlHandlers> = {}): Promise<ControlServer> {
  const status = exampleStatus();
  const server = await ControlServer.listen({
    path: socketPath(name, directory.path()),
    gid: undefined,
    handlers: {
      hello: () => ({ protocol: 'dtunnel.control/1', version: '0.1.0', tunnel: name, pid: 42 }),
      status: () => ({ ...status, tunnel: { ...status.tunnel, name } }),
      reload: async () => ({ applied: true, generation: 8, changes: [], durationMs: 6.2, droppedPackets: 0 }),
      rekey: () => ({ peers: [] }),
      drain: async () => ({ result: 'drained', sessionsLeft: 0, durationMs: 12 }),
      upgrade: async () => HANDED_OVER,
      down: async () => ({ changes: ['route 10.1.0.0/16 dev dt-paris', 'device dt-paris'], told: ['berlin'] }),
      ping: async ({ peer }) => ({ peer, rttMs: 14.1, endpoint: '203.0.113.10:4433', mtuBytes: 1430 }),
      rotateAsk: async () => ({ fingerprint: 'aa', peers: [{ name: 'berlin', result: 'known' }] }),
      rotateSwitch: async () => ({ fingerprint: 'aa', generation: 2, peers: ['berlin'] }),
      logLevel: ({ level }) => ({ level, before: 'info' }),
      metrics: async () => 'x 1\n',
      recentLog: () => [{ level: 30, time: 0, event: 'daemon.ready', tunnel: name, msg: 'ready' }],
      events: () => () => undefined,
      log: () => () => undefined,
      ...over,
    },
    onBug: (error) => {
      throw error;
    },
  });
  servers.push(server);
  return server;
}

const HANDED_OVER = {
  result: 'handed_over',
  tunnels: 1,
  peers: 1,
  sockets: 3,
  gapMs: 11.2,
  droppedPackets: 0,
  pid: 940,
  previousPid: 812,
  version: '0.1.0',
  previousVersion: '0.1.0',
} as const;

const STATUS = { name: undefined, peer: undefined, json: false, quiet: false, wait: false, timeoutMs: 200 } as const;
const LIMITED = { json: false, quiet: false, timeoutMs: 2_000 } as const;

describe('dtunnel upgrade', () => {
  const ARGS = { name: 'paris', restart: true, json: false, quiet: false, timeoutMs: 2_000 } as const;

  it('tells what was handed over, how long packets waited, and to whom', async () => {
    await daemon('paris');
    const { io, out } = world();
    expect(await upgradeCommand.run(ARGS, io)).toBe(0);
    expect(out()).toBe('handed over 1 tunnel, 1 peer, 3 sockets in 11 ms; 0 packets dropped; old pid 812 → 940\n');
  });

  it('names the versions when they differ, and prints one document with --json', async () => {
    await daemon('paris', { upgrade: async () => ({ ...HANDED_OVER, version: '0.2.0' }) });
    const text = world();
    await upgradeCommand.run(ARGS, text.io);
    expect(text.out()).toContain('old pid 812 → 940; 0.1.0 → 0.2.0\n');
    const document = world();
    await upgradeCommand.run({ ...ARGS, json: true }, document.io);
    expect(JSON.parse(document.out())).toMatchObject({
      schema: 'dtunnel.upgrade/1',
      result: 'handed_over',
      gapMs: 11.2,
    });
  });

  it('says what a restart costs and why there was one, once the new process answers', async () => {
    let asked = 0;
    const reason = 'the program on disk knows no handover';
    await daemon('paris', {
      hello: () => ({ protocol: 'dtunnel.control/1', version: '0.2.0', tunnel: 'paris', pid: asked++ < 2 ? 812 : 950 }),
      upgrade: async () => ({ result: 'restarting', reason, peers: 1, previousPid: 812, previousVersion: '0.1.0' }),
    });
    const { io, out } = world();
    expect(await upgradeCommand.run(ARGS, io)).toBe(0);
    expect(out()).toMatch(/^restarted instead of handed over: the program on disk knows no handover\n/);
    expect(out()).toMatch(
      /1 peer must shake hands again, and packets were lost for at least \d+ ms\n {2}old pid 812 → 950/,
    );
  });

  it('asks for no restart with --no-restart, and ends with 5 when that was needed', async () => {
    const asked: boolean[] = [];
    await daemon('paris', {
      upgrade: async ({ restart }) => {
        asked.push(restart);
        throw new DtunnelError('S041', 'the program on disk knows no handover');
      },
    });
    const { io } = world();
    await expect(upgradeCommand.run({ ...ARGS, restart: false }, io)).rejects.toMatchObject({ exitCode: 5 });
    expect(asked).toEqual([false]);
  });

  it('ends with 8 when the new process does not come', async () => {
    await daemon('paris', {
      upgrade: async () => ({ result: 'restarting', reason: 'x', peers: 1, previousPid: 42, previousVersion: '0.1.0' }),
    });
    const { io } = world();
    await expect(upgradeCommand.run({ ...ARGS, timeoutMs: 100 }, io)).rejects.toMatchObject({ exitCode: 8 });
  });
});

describe('dtunnel status', () => {
  it('ends with 3 when nothing runs, with 4 for what is unknown, with 3 for what is configured but not running', async () => {
    const { io } = world();
    await expect(statusCommand.run(STATUS, io)).rejects.toMatchObject({ code: 'S016', exitCode: 3 });
    await expect(statusCommand.run({ ...STATUS, name: 'rome' }, io)).rejects.toMatchObject({
      code: 'S017',
      exitCode: 4,
    });
    writeFileSync(directory.path('rome.conf'), '');
    await expect(statusCommand.run({ ...STATUS, name: 'rome' }, io)).rejects.toMatchObject({
      code: 'S016',
      exitCode: 3,
    });
  });

  it.each([
    ['up', 0],
    ['degraded', 6],
    ['down', 3],
  ] as const)('of a tunnel that is %s ends with %d', async (state, exit) => {
    const status = exampleStatus();
    await daemon('paris', { status: () => ({ ...status, tunnel: { ...status.tunnel, state } }) });
    const { io, out } = world();
    expect(await statusCommand.run(STATUS, io)).toBe(exit);
    expect(out()).toContain('paris');
  });

  it('prints the document as it came, one per tunnel, also fields it does not know', async () => {
    await daemon('paris', { status: () => Object.assign(exampleStatus(), { later: 'release' }) });
    const one = world();
    expect(await statusCommand.run({ ...STATUS, json: true }, one.io)).toBe(0);
    expect(JSON.parse(one.out())).toMatchObject({ schema: 'dtunnel.status/1', later: 'release' });
    await daemon('rome');
    const two = world();
    await statusCommand.run({ ...STATUS, json: true }, two.io);
    expect(
      two
        .out()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).tunnel.name),
    ).toEqual(['paris', 'rome']);
  });

  it('knows one peer, and says which there are', async () => {
    await daemon('paris');
    const { io, out } = world();
    expect(await statusCommand.run({ ...STATUS, name: 'paris', peer: 'berlin' }, io)).toBe(0);
    expect(out()).toContain('fingerprint');
    const wrong = statusCommand.run({ ...STATUS, name: 'paris', peer: 'bern' }, io);
    await expect(wrong).rejects.toMatchObject({ code: 'S018', message: 'paris has no peer bern (there are berlin)' });
  });

  it('waits until all is up, or ends with 8', async () => {
    let looks = 0;
    const status = exampleStatus();
    await daemon('paris', {
      status: () => {
        looks += 1;
        return { ...status, tunnel: { ...status.tunnel, state: looks < 3 ? 'down' : 'up' } };
      },
    });
    const { io } = world();
    expect(await statusCommand.run({ ...STATUS, wait: true, timeoutMs: 10_000 }, io)).toBe(0);
    expect(looks).toBe(3);
    looks = Number.NEGATIVE_INFINITY;
    expect(await statusCommand.run({ ...STATUS, wait: true, timeoutMs: 50 }, io)).toBe(8);
  });

  it('waits also for a daemon that is not there yet', async () => {
    const { io, out } = world();
    expect(await statusCommand.run({ ...STATUS, wait: true, timeoutMs: 30 }, io)).toBe(8);
    expect(out()).toBe('');
  });
});

describe('commands that change something', () => {
  it('say what was undone, and return when the daemon is gone', async () => {
    const server: { made: ControlServer | undefined } = { made: undefined };
    server.made = await daemon('paris', {
      down: async () => {
        setImmediate(() => void server.made?.close());
        return { changes: ['route 10.1.0.0/16 dev dt-paris', 'device dt-paris'], told: ['berlin'] };
      },
    });
    const { io, out } = world();
    expect(await downCommand.run({ ...LIMITED, name: 'paris' }, io)).toBe(0);
    expect(out()).toBe('[-] route 10.1.0.0/16 dev dt-paris\n[-] device dt-paris\ntold berlin that we are leaving\n');
  });

  it('report a daemon that does not end (8)', async () => {
    await daemon('paris');
    const { io } = world();
    await expect(downCommand.run({ ...LIMITED, name: 'paris', timeoutMs: 60 }, io)).rejects.toMatchObject({
      exitCode: 8,
    });
  });

  it('tell how a drain ended, for people and for deployments', async () => {
    const server: { made: ControlServer | undefined } = { made: undefined };
    server.made = await daemon('paris', {
      drain: async () => {
        setImmediate(() => void server.made?.close());
        return { result: 'timeout', sessionsLeft: 2, durationMs: 5000 };
      },
    });
    const { io, out } = world();
    expect(await drainCommand.run({ ...LIMITED, name: 'paris', json: true }, io)).toBe(8);
    expect(JSON.parse(out())).toMatchObject({ drain_result: 'timeout', sessions_left: 2 });
  });

  it('show a plan and what it cost', async () => {
    const changes = [
      { action: '~' as const, peer: 'berlin', key: 'AllowedIPs', text: '+ 10.9.0.0/16', hitless: true, note: '' },
      { action: '+' as const, peer: 'lyon', text: '', hitless: true, note: '' },
    ];
    await daemon('paris', {
      reload: async ({ plan }) => ({ applied: !plan, generation: 8, changes, durationMs: 6.2, droppedPackets: 0 }),
    });
    const { io, out } = world();
    await reloadCommand.run({ ...LIMITED, name: 'paris', plan: true, revert: false }, io);
    await reloadCommand.run({ ...LIMITED, name: undefined, plan: false, revert: false }, io);
    expect(out()).toContain('nothing applied (--plan)\n');
    expect(out()).toContain('  ~ peer berlin  AllowedIPs  + 10.9.0.0/16   hitless\n');
    expect(out()).toContain(
      '[~] applied 2 changes in 6.2 ms, 0 packets dropped, generation 8 (rollback: dtunnel reload --revert)\n',
    );
  });

  it('ask for a name when several tunnels run', async () => {
    await daemon('paris');
    await daemon('rome');
    const { io } = world();
    const reload = reloadCommand.run({ ...LIMITED, name: undefined, plan: false, revert: false }, io);
    await expect(reload).rejects.toMatchObject({
      code: 'S021',
      message: 'several tunnels are running (paris, rome): name one',
    });
  });
});

describe('dtunnel ping', () => {
  const PING = { peer: 'berlin', tunnel: undefined, count: 1, json: false, quiet: false, timeoutMs: 100 } as const;

  it('finds the tunnel by the peer', async () => {
    await daemon('paris');
    await daemon('rome', { status: () => exampleStatus({ peers: [examplePeer({ name: 'bern' })] }) });
    const { io, out } = world();
    expect(await pingCommand.run(PING, io)).toBe(0);
    expect(out()).toBe('berlin via 203.0.113.10:4433: rtt 14.1 ms  inner mtu 1430\n');
    await expect(pingCommand.run({ ...PING, peer: 'oslo' }, io)).rejects.toMatchObject({ code: 'S018' });
  });

  it('ends with 8 when nothing comes back', async () => {
    await daemon('paris', { ping: async ({ peer }) => ({ peer, endpoint: 'x' }) });
    const { io, out } = world();
    expect(await pingCommand.run({ ...PING, json: true }, io)).toBe(8);
    expect(JSON.parse(out())).toMatchObject({ sent: 1, answered: 0, rttMs: [] });
  });
});

describe('dtunnel logs', () => {
  it('are readable, or as they were written', async () => {
    await daemon('paris');
    const text = world();
    await logsCommand.run({ name: undefined, follow: false, json: false }, text.io);
    expect(text.out()).toMatch(/^\d\d:\d\d:00\.000 INFO {2}paris {9}daemon\.ready {6}ready\n$/);
    const lines = world();
    await logsCommand.run({ name: 'paris', follow: false, json: true }, lines.io);
    expect(JSON.parse(lines.out())).toMatchObject({ event: 'daemon.ready' });
  });
});

describe('dtunnel version', () => {
  it('finds a daemon of another release (5)', async () => {
    await daemon('paris', {
      hello: () => ({ protocol: 'dtunnel.control/1', version: '9.9.9', tunnel: 'paris', pid: 1 }),
    });
    const { io, out } = world();
    const exit = await versionCommand.run({ verify: true, json: true }, io);
    const { checks } = JSON.parse(out());
    expect(checks.at(-1)).toMatchObject({ what: 'daemon paris', ok: false });
    // Without a built addon the installation itself is what is wrong.
    expect(exit).toBe(checks[0].ok ? 5 : 1);
  });
});

describe('a daemon of another protocol', () => {
  it('is told apart from none (5)', async () => {
    const other: Server = createServer((_, response) => response.end('{}'));
    await new Promise<void>((resolve) => other.listen(socketPath('paris', directory.path()), resolve));
    const { io } = world();
    await expect(statusCommand.run({ ...STATUS, name: 'paris' }, io)).rejects.toMatchObject({
      code: 'S019',
      exitCode: 5,
    });
    await new Promise<void>((resolve) => other.close(() => resolve()));
  });
});

describe('a failure', () => {
  it('says what, how to mend it and where to read more', () => {
    expect(failureText(new DtunnelError('S016', 'paris is not running'), false)).toBe(
      'error[S016]: paris is not running\n  = help: start it with dtunnel up\n  = see: dtunnel help S016\n',
    );
  });

  it('with findings of a file shows them in full, be they from here or from a daemon', () => {
    const item = {
      severity: 'error',
      code: 'C012',
      message: "unknown key 'X'",
      file: 'a.conf',
      line: 3,
      column: 1,
      labels: [],
      help: undefined,
    };
    const details: unknown = JSON.parse(JSON.stringify({ items: [item], omitted: 2 }));
    const text = failureText(new DtunnelError('S030', 'a.conf has 3 errors', { details }), false);
    expect(text).toContain("error[C012]: unknown key 'X'\n--> a.conf:3:1");
    expect(text).toContain('… and 2 more');
    expect(text).toContain('error[S030]: a.conf has 3 errors\n');
  });

  it('in JSON is one document with code, message, hint and exit status', () => {
    expect(failureJson(new DtunnelError('S016', 'x'))).toEqual({
      error: { code: 'S016', message: 'x', hint: 'start it with dtunnel up', exit: 3 },
    });
    expect(failureJson(new TypeError('inside'))).toMatchObject({ error: { code: 'S001', exit: 1 } });
  });
});
