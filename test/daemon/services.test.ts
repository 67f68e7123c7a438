import { createSocket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Instant } from '../../src/base/brand.ts';
import { Driver } from '../../src/daemon/driver.ts';
import { ExpiryNotices } from '../../src/daemon/expiry.ts';
import { Hooks } from '../../src/daemon/hooks.ts';
import { ServiceManager } from '../../src/daemon/notify.ts';
import { findPortHolder } from '../../src/daemon/port-holder.ts';
import { handleSignals, holdSignals } from '../../src/daemon/signals.ts';
import { statusPage } from '../../src/daemon/status-page.ts';
import { UndoStack } from '../../src/daemon/undo.ts';
import { metricsDetailOf } from '../../src/daemon/views.ts';
import type { Plane, PlaneEvent } from '../../src/plane/plane.ts';
import type { TunnelEffect } from '../../src/tunnel/effects.ts';
import type { Resolution, TunnelFace } from '../../src/tunnel/face.ts';
import { association, at, peerId } from '../support/snapshots.ts';
import { examplePeer, exampleStatus } from '../support/status-example.ts';
import { useTemporaryDirectory } from '../support/temporary-directory.ts';
import { interfaceSettings, peerSettings } from '../support/world.ts';

/** A tunnel of which only the inputs and the effects matter: what is given is written down, what is queued comes out. */
function scriptedDriver() {
  const inputs: string[] = [];
  const calls: string[] = [];
  const armed: (Instant | undefined)[] = [];
  const effects: TunnelEffect[] = [];
  const deadline: { at: Instant | undefined } = { at: undefined };
  let resolveLookup: (answer: Resolution) => void = () => undefined;
  let onDue: () => void = () => undefined;
  const note =
    (list: string[]) =>
    (name: string) =>
    (...args: unknown[]): void => {
      list.push([name, ...args.filter((arg) => typeof arg === 'number' || typeof arg === 'string')].join(' '));
    };
  const input = note(inputs);
  const call = note(calls);
  const tunnel = new Proxy({} as TunnelFace, {
    get: (_, name) => {
      if (name === 'poll') return () => effects.shift();
      if (name === 'deadline') return deadline.at;
      return input(String(name));
    },
  });
  const plane = new Proxy({} as Plane, { get: (_, name) => call(String(name)) });
  const finished: number[] = [];
  const driver = new Driver({
    tunnel,
    plane,
    clock: () => at(5),
    makeAlarm: (due) => {
      onDue = due;
      return { set: (when) => armed.push(when) };
    },
    resolve: () =>
      new Promise((resolve) => {
        resolveLookup = resolve;
      }),
    onEvent: (event) => calls.push(`event ${event.kind}`),
    onFinished: (left) => finished.push(left),
    onPlaneNotice: (notice) => calls.push(`notice ${notice.kind}`),
  });
  return {
    driver,
    inputs,
    calls,
    armed,
    effects,
    deadline,
    finished,
    ring: () => onDue(),
    answer: (answer: Resolution) => resolveLookup(answer),
  };
}

describe('the driver', () => {
  const { path } = association();

  it('performs effects in order, then arms the alarm for the next deadline', () => {
    const { driver, effects, calls, armed, deadline } = scriptedDriver();
    effects.push(
      { kind: 'peer', peer: peerId(1), options: { dscp: 'clear', ecn: true, rateLimit: undefined, clampMss: true } },
      { kind: 'routes', routes: [] },
      { kind: 'send', path, datagram: new Uint8Array(1) },
      { kind: 'activate', peer: peerId(1), slot: undefined },
      { kind: 'event', event: { kind: 'cookie', result: 'valid' } },
    );
    deadline.at = at(77);
    driver.input((tunnel, now) => tunnel.start(now));
    expect(calls).toEqual(['setPeer 1', 'setRoutes', 'sendDatagram', 'activate 1', 'event cookie']);
    expect(armed).toEqual([77]);
  });

  it('gives every event of the plane to the tunnel with the time', () => {
    const { driver, inputs, calls } = scriptedDriver();
    const slot = association().slot;
    const events: PlaneEvent[] = [
      { kind: 'datagram', path, datagram: new Uint8Array(1), at: at(1) },
      { kind: 'record', slot, contentType: 22, fragment: new Uint8Array(1), path, newest: true, at: at(1) },
      { kind: 'confirmed', slot, at: at(1) },
      { kind: 'moved', slot, path, at: at(1) },
      { kind: 'offload-disabled', offload: 'udp-gro', error: 'EIO' },
    ];
    for (const event of events) driver.planeEvent(event);
    expect(inputs).toEqual(['datagram 5', 'record 3 22 5', 'confirmed 3 5', 'moved 3 5']);
    expect(calls).toEqual(['notice offload-disabled']);
  });

  it('answers look-ups, but not after it was stopped', async () => {
    const { driver, effects, inputs, answer } = scriptedDriver();
    effects.push({ kind: 'resolve', host: 'a.example' });
    driver.input((tunnel, now) => tunnel.start(now));
    answer({ kind: 'failed', reason: 'timeout' });
    await Promise.resolve();
    await Promise.resolve();
    expect(inputs).toEqual(['start 5', 'resolved a.example 5']);
    effects.push({ kind: 'resolve', host: 'b.example' });
    driver.input((tunnel, now) => tunnel.tick(now));
    driver.stop();
    answer({ kind: 'failed', reason: 'timeout' });
    await Promise.resolve();
    await Promise.resolve();
    expect(inputs.at(-1)).toBe('tick 5');
    driver.planeEvent({ kind: 'confirmed', slot: association().slot, at: at(1) });
    expect(inputs.at(-1)).toBe('tick 5');
  });

  it('ticks when the alarm rings, and disarms it when nothing is due', () => {
    const { ring, inputs, armed } = scriptedDriver();
    ring();
    expect(inputs).toEqual(['tick 5']);
    expect(armed).toEqual([undefined]);
  });

  it('reports the end', () => {
    const { driver, effects, finished } = scriptedDriver();
    effects.push({ kind: 'finished', sessionsLeft: 2 });
    driver.input((tunnel, now) => tunnel.close(now));
    expect(finished).toEqual([2]);
  });
});

describe('signals', () => {
  function listening() {
    const source = new EventEmitter();
    const done: string[] = [];
    let drained: () => void = () => undefined;
    const end = handleSignals(
      {
        reload: async () => void done.push('reload'),
        logStatus: () => void done.push('status'),
        upgradeBySignal: async () => void done.push('upgrade'),
        drain: async (limit) => {
          done.push(`drain ${limit}`);
          await new Promise<void>((resolve) => {
            drained = resolve;
          });
          return { result: 'drained', sessionsLeft: 0, durationMs: 0 };
        },
        stop: async () => {
          done.push('stop');
          return { changes: [], told: [] };
        },
      },
      source,
    );
    return { source, done, end, drained: () => drained() };
  }

  it('reload, report and stop', () => {
    const { source, done } = listening();
    for (const signal of ['SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGINT']) source.emit(signal);
    expect(done).toEqual(['reload', 'status', 'upgrade', 'stop']);
  });

  it('drain on TERM and then stop', async () => {
    const { source, done, drained } = listening();
    source.emit('SIGTERM');
    expect(done).toEqual(['drain 5000']);
    drained();
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual(['drain 5000', 'stop']);
  });

  it('stop at once on a second TERM', () => {
    const { source, done } = listening();
    source.emit('SIGTERM');
    source.emit('SIGTERM');
    expect(done).toEqual(['drain 5000', 'stop']);
  });

  it('during the start wait for its end, and only those that ask to end matter then', () => {
    const source = new EventEmitter();
    const calm = holdSignals(source);
    source.emit('SIGHUP');
    source.emit('SIGUSR1');
    expect(calm.release()).toBe(false);
    const hasty = holdSignals(source);
    source.emit('SIGTERM');
    expect(hasty.release()).toBe(true);
    expect(source.eventNames()).toEqual([]);
  });

  it('are let go at the end', () => {
    const { source, end } = listening();
    end();
    expect(source.eventNames()).toEqual([]);
  });
});

describe('the service manager', () => {
  it('is told in the words of sd_notify(3), one line each', () => {
    const told: [string, string][] = [];
    const manager = new ServiceManager({ NOTIFY_SOCKET: '/run/n' }, (socket, state) => told.push([socket, state]));
    manager.reloading(12.3456);
    manager.ready('1 of\n2 up');
    manager.stopping('bye');
    expect(told).toEqual([
      ['/run/n', 'RELOADING=1\nMONOTONIC_USEC=12345'],
      ['/run/n', 'READY=1\nSTATUS=1 of 2 up'],
      ['/run/n', 'STOPPING=1\nSTATUS=bye'],
    ]);
  });

  it('is not looked for where there is none, and its loss is no failure', () => {
    const manager = new ServiceManager({}, () => {
      throw new Error('nobody should be told');
    });
    manager.ready('x');
    expect(manager.watchdogInterval).toBeUndefined();
    const gone = new ServiceManager({ NOTIFY_SOCKET: '/run/n' }, () => {
      throw new Error('ECONNREFUSED');
    });
    expect(() => gone.alive()).not.toThrow();
  });

  it('hears from us at half its patience, if it is ours', () => {
    const environment = { NOTIFY_SOCKET: '/run/n', WATCHDOG_USEC: '10000000' };
    expect(new ServiceManager(environment, () => undefined, 7).watchdogInterval).toBe(5000);
    expect(new ServiceManager({ ...environment, WATCHDOG_PID: '7' }, () => undefined, 7).watchdogInterval).toBe(5000);
    expect(
      new ServiceManager({ ...environment, WATCHDOG_PID: '8' }, () => undefined, 7).watchdogInterval,
    ).toBeUndefined();
  });
});

describe('hooks', () => {
  const directory = useTemporaryDirectory();

  it('run without a shell, with a small environment', async () => {
    const out = directory.path('out');
    const script = directory.path('hook');
    writeFileSync(script, `#!/bin/sh\nprintf '%s|%s|%s' "$1" "$DTUNNEL_PEER" "$HOME" > "${out}"\n`, { mode: 0o755 });
    await new Hooks(() => undefined).run([script, '$(id); `id`'], { DTUNNEL_PEER: 'berlin' });
    expect(readFileSync(out, 'utf8')).toBe('$(id); `id`|berlin|');
  });

  it('tell when they fail, and are never fatal', async () => {
    const failures: string[] = [];
    const hooks = new Hooks((program, why) => failures.push(`${program}: ${why}`));
    await hooks.run(['/bin/false'], {});
    await hooks.run([directory.path('missing')], {});
    await hooks.run(undefined, {});
    expect(failures).toEqual(['/bin/false: ended with status 1', expect.stringContaining('ENOENT')]);
  });

  it('are not started beyond a bound', async () => {
    const failures: string[] = [];
    const hooks = new Hooks((_, why) => failures.push(why));
    await Promise.all(Array.from({ length: 12 }, () => hooks.run(['/bin/true'], {})));
    expect(failures).toEqual(Array(4).fill('8 hooks are running already'));
    expect(existsSync('/bin/true')).toBe(true);
  });
});

describe('the holder of a port', () => {
  it('is found by its process', async () => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    const { port } = socket.address();
    expect(findPortHolder('udp', port)).toMatchObject({ pid: process.pid });
    await new Promise<void>((resolve) => socket.close(() => resolve()));
    expect(findPortHolder('udp', port)).toBeUndefined();
  });
});

describe('the notice of expiry', () => {
  const day = 86_400;

  it('comes once 30, 14, 3 and 0 days ahead, and anew for another certificate', () => {
    const end = 1000 * day;
    const notices = new ExpiryNotices();
    const told: number[] = [];
    for (let now = 900 * day; now <= 1003 * day; now += day / 4) {
      told.push(...notices.due([{ owner: undefined, notAfter: end }], now).map(({ days }) => days));
    }
    expect(told).toEqual([30, 14, 3, 0]);
    expect(notices.due([{ owner: undefined, notAfter: end + day }], end)).toMatchObject([{ days: 1 }]);
  });

  it('comes for each owner, and not again when a peer was away', () => {
    const notices = new ExpiryNotices();
    const ours = { owner: undefined, notAfter: 100 * day };
    const lyon = { owner: 'lyon', notAfter: 80 * day };
    expect(notices.due([ours, lyon], 75 * day)).toMatchObject([{ days: 25 }, { owner: 'lyon', days: 5 }]);
    expect(notices.due([ours], 76 * day)).toEqual([]);
    expect(notices.due([ours, lyon], 76 * day)).toEqual([]);
    expect(notices.due([ours, lyon], 78 * day)).toEqual([{ ...lyon, days: 2 }]);
  });
});

describe('the undo stack', () => {
  it('goes back in reverse order, past steps that fail', async () => {
    const done: string[] = [];
    const failures: unknown[] = [];
    const undo = new UndoStack((error) => failures.push(error));
    undo.push(() => void done.push('first'));
    undo.push(async () => {
      throw new Error('second');
    });
    undo.push(async () => void done.push('third'));
    await undo.unwind();
    await undo.unwind();
    expect(done).toEqual(['third', 'first']);
    expect(failures).toHaveLength(1);
  });
});

describe('the status page', () => {
  it('shows peers and remarks, and lets no name become markup', () => {
    const page = statusPage(
      exampleStatus({
        peers: [examplePeer({ name: '<script>x</script>' })],
        health: [{ code: 'x', text: 'a & b' }],
      }),
    );
    expect(page).not.toContain('<script');
    expect(page).toContain('&lt;script&gt;');
    expect(page).toContain('a &amp; b');
  });

  it('says what `dtunnel status` says, in the same units', () => {
    const page = statusPage(exampleStatus());
    for (const text of [
      '● up',
      '203.0.113.10:4433',
      '3 h 12 min',
      '12 min',
      '14.1 ms',
      '0.0 %',
      '18.2 GiB',
      '2.10 GiB',
    ]) {
      expect(page).toContain(`${text}<`);
    }
    expect(page).toContain('1 of 1 peers up');
    expect(page).toContain('<p>ok</p>');
    // Nothing is fetched from anywhere, and nothing runs.
    expect(page).not.toMatch(/<script|<link|src=|url\(|https?:/);
  });

  it('draws what it does not know as a dash', () => {
    const unknown = examplePeer({
      state: 'connecting',
      up: false,
      endpoint: undefined,
      handshake: undefined,
      path: undefined,
    });
    const page = statusPage(exampleStatus({ peers: [unknown] }));
    expect(page).toContain('○ connecting<');
    expect(page.match(/>–<\/td>/g)).toHaveLength(5);
    expect(page).not.toMatch(/undefined|NaN/);
  });
});

describe('the detail of metrics', () => {
  it('is as configured up to a thousand peers, and a summary beyond', () => {
    const peer = peerSettings({ name: 'p', fingerprints: [], allowedIps: [] });
    const settings = (peers: number) => ({ interface: interfaceSettings(), peers: Array(peers).fill(peer) });
    expect(metricsDetailOf(settings(1000))).toBe('full');
    expect(metricsDetailOf(settings(1001))).toBe('summary');
  });
});
