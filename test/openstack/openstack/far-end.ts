import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { Instance } from '../cloud/instance.ts';

/** What an operator gives for every stack here. */
export const GATEWAY = {
  image: 'dtunnel',
  flavor: 'm1.small',
  key_name: 'operator',
  external_network: 'public',
  inside_network: 'lan',
  inside_cidr: '10.1.0.0/16',
  inside_router: 'router',
  poll_interval: 1,
} as const;

/** A [Peer] section; without endpoint the peer calls. */
export function section(name: string, fingerprint: string, endpoint: string | undefined, allowed: string): string {
  const call = endpoint === undefined ? '' : `Endpoint = ${endpoint}\n`;
  return `[Peer]\nName = ${name}\nFingerprint = ${fingerprint}\n${call}AllowedIPs = ${allowed}\n`;
}

/** Configures dtunnel on a machine that Heat knows nothing of, and starts or reloads it; yields its fingerprint. */
export async function farEnd(
  machine: Instance,
  name: string,
  address: string,
  peers: readonly string[],
): Promise<string> {
  const files = `Certificate = /etc/dtunnel/${name}.crt\nPrivateKey = /etc/dtunnel/${name}.key`;
  const config = `[Interface]\nAddress = ${address}\nListenPort = 4433\n${files}\n\n${peers.join('\n')}`;
  const script = `
    dtunnel keygen ${name} --if-missing > /dev/null
    printf '%s' '${config}' > /etc/dtunnel/${name}.conf
    if [ -S /run/dtunnel/${name}.sock ]; then
      dtunnel reload ${name}
    else
      dtunnel up ${name} --no-wait
    fi >&2
    dtunnel fingerprint /etc/dtunnel/${name}.crt`;
  const { status, stdout, output } = await machine.run(['sh', '-euc', script]);
  if (status !== 0) throw new Error(`${name}: ${output}`);
  return stdout.trim();
}

/** How many numbered datagrams went out, how many never came back, and how many of these before the last that did. */
export interface Losses {
  readonly sent: number;
  readonly lost: number;
  readonly gaps: number;
}

/**
 * Sends numbered datagrams, a hundred a second, which the other machines send back, whichever has the address, until
 * `finish` counts those that never came. What is under way gets three seconds: late, on a busy machine, is not lost.
 */
export async function flow(
  from: Instance,
  to: Instance | readonly Instance[],
  address: string,
): Promise<{ finish(): Promise<Losses> }> {
  const echo = `
    const socket = require('dgram').createSocket('udp6');
    socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    socket.bind(7007, '::', () => console.log('listening'));`;
  const send = `
    const socket = require('dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}');
    const seen = new Set();
    socket.on('message', (message) => seen.add(message.readUInt32BE()));
    socket.on('error', () => {});
    let sent = 0;
    const losses = () => ({ sent, lost: sent - seen.size, gaps: [...seen].reduce((a, b) => Math.max(a, b), -1) + 1 - seen.size });
    const timer = setInterval(() => {
      const message = Buffer.alloc(64);
      message.writeUInt32BE(sent++);
      socket.send(message, 7007, '${address}', () => {});
    }, 10);
    process.stdin.resume().on('end', () => {
      clearInterval(timer);
      setTimeout(() => { console.log(JSON.stringify(losses())); process.exit(); }, 3000);
    });
    console.log('sending');`;
  const servers: ChildProcess[] = [];
  for (const machine of [to].flat()) {
    const server = await machine.start([process.execPath, '-e', echo]);
    servers.push(server);
    await heard(server.stdout, /listening/);
  }
  const client = await from.start([process.execPath, '-e', send]);
  await heard(client.stdout, /sending/);
  return {
    finish: async () => {
      const counted = heard(client.stdout, /\{.*\}/);
      client.stdin?.end();
      const [counts] = await counted;
      for (const server of servers) endGroup(server);
      return JSON.parse(counts);
    },
  };
}

/** As `flow`, for so many seconds. */
export async function losses(from: Instance, to: Instance, address: string, seconds: number): Promise<Losses> {
  const flowing = await flow(from, to, address);
  await delay(seconds * 1000);
  return flowing.finish();
}

/** Starts a TCP transfer at an even pace; resolves, once it flows, with a promise of the octets that came through. */
export async function transfer(
  from: Instance,
  address: string,
  to: Instance,
  { megabytes, seconds }: { readonly megabytes: number; readonly seconds: number },
): Promise<{ readonly received: Promise<number> }> {
  const pieces = seconds * 20;
  const send = `
    const piece = Buffer.alloc(${(megabytes * 1_000_000) / pieces});
    require('net').createServer((socket) => {
      let left = ${pieces};
      const timer = setInterval(() => {
        socket.write(piece);
        if (--left === 0) { clearInterval(timer); socket.end(); }
      }, 50);
    }).listen(7000, '${address}', () => console.log('listening'));`;
  const take = `
    let count = 0;
    const socket = require('net').connect(7000, '${address}');
    socket.on('data', (part) => { if (count === 0) console.log('flows'); count += part.length; });
    socket.on('error', (error) => console.log('received ' + count + ' then ' + error.code));
    socket.on('end', () => console.log('received ' + count));`;
  const server = await from.start([process.execPath, '-e', send]);
  await heard(server.stdout, /listening/);
  const client = await to.start([process.execPath, '-e', take]);
  const said = heard(client.stdout, /received (\d+)/, 120_000);
  await heard(client.stdout, /flows/);
  return { received: said.then((match) => Number(match[1])) };
}

/** Ends a command and what it started; both may have gone with their machine. */
function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ESRCH') throw error;
  }
}

function heard(stream: NodeJS.ReadableStream | null, pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(() => reject(new Error(`waited for ${pattern} in vain: ${text}`)), timeoutMs);
    stream?.on('data', (part: Buffer) => {
      text += part.toString();
      const match = pattern.exec(text);
      if (match === null) return;
      clearTimeout(timer);
      resolve(match);
    });
  });
}
