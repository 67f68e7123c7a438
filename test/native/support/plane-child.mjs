// One end of a test in the network namespace this process was started in, driven over IPC by rig.ts: a message names a
// method with its arguments, the answer carries what it returned or threw. Opens a native plane, or makes traffic. After
// a handover it is a relay to the process that has the plane now.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import dgram from 'node:dgram';
import net from 'node:net';
import { Worker } from 'node:worker_threads';
import { icmpEcho } from '../../../dist/plane/host.js';
import { openNativePlane } from '../../../dist/plane/native-plane.js';

let plane;
let successor;
const sockets = new Map();
const servers = [];

/** Octets that depend on their position, so that misplaced ones are noticed. */
function pattern(size, seed) {
  const out = Buffer.allocUnsafe(size);
  let x = (seed * 2654435761 + 1) >>> 0;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
}

/** A row of counters as a plain object: what is read when asked for does not travel between processes. */
function plainRow(row) {
  const getters = Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(row)));
  return Object.fromEntries(
    getters.filter(([, property]) => property.get !== undefined).map(([name]) => [name, row[name]]),
  );
}

function plainRows(rows) {
  return new Map([...rows].map(([key, row]) => [key, plainRow(row)]));
}

/** Number of the first descriptor that a successor inherits: behind the standard ones and the channel. */
const FIRST_INHERITED = 4;

/** The process that goes on. */
class Successor {
  #waiting = new Map();
  #next = -1;

  constructor(descriptors) {
    this.child = spawn(process.execPath, [process.argv[1]], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc', ...descriptors],
      serialization: 'advanced',
    });
    this.child.on('message', (message) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (waiting === undefined) process.send(message);
      else if (message.error === undefined) waiting.resolve(message.value);
      else waiting.reject(Object.assign(new Error(message.error.message), message.error));
    });
  }

  call(method, ...args) {
    const id = this.#next--;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.child.send({ id, method, args });
    });
  }

  end() {
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.disconnect();
    return ended;
  }
}

const methods = {
  open(options) {
    plane = openNativePlane({ ...options, onEvent: (event) => process.send({ event }) });
    return { deviceName: plane.deviceName, listening: plane.listening, features: plane.features };
  },
  /** Opens and closes a plane `times` times; returns how many succeeded. */
  async reopen(options, times) {
    for (let i = 0; i < times; i++) {
      const one = openNativePlane({ ...options, onEvent() {} });
      one.stats();
      one.close();
      one.close();
    }
    return times;
  },
  /** Opens a plane in a worker thread that ends without closing it; returns the device's name. */
  async inWorker(options) {
    const file = new URL('../../../dist/plane/native-plane.js', import.meta.url).href;
    const code = `
      const { parentPort, workerData } = require('node:worker_threads');
      import(${JSON.stringify(file)}).then(({ openNativePlane }) => {
        const plane = openNativePlane({ ...workerData, onEvent() {} });
        parentPort.postMessage(plane.deviceName);
        setImmediate(() => process.exit(0));
      });`;
    const worker = new Worker(code, { eval: true, workerData: options });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    const name = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    await ended;
    return name;
  },
  listening: () => plane.listening,
  session: (slot) => plane.session(slot),
  changed: (part, parts) => [...plane.changedSessions(part, parts)],
  stats() {
    const stats = plane.stats();
    return { ...stats, peers: plainRows(stats.peers), sessions: plainRows(stats.sessions) };
  },
  pid: () => process.pid,

  /**
   * Hands the plane over to a new process of this program, which inherits the descriptors: how long nobody forwarded, and
   * the octets of the state. `damage` changes one of these, or gives up `late`, with the new plane open but not thawed:
   * nothing is handed over then and this plane goes on.
   */
  async handOver(options, damage) {
    const descriptors = plane.descriptors();
    const next = new Successor(descriptors);
    await next.call('pid');
    const begin = performance.now();
    const state = plane.freeze();
    if (Number.isInteger(damage)) state[damage] ^= 1;
    try {
      const adopt = { descriptors: descriptors.map((_, i) => FIRST_INHERITED + i), state };
      await next.call('open', { ...options, adopt });
      if (damage === 'late') throw Object.assign(new Error('given up'), { code: 'LATE' });
      await next.call('thaw');
    } catch (error) {
      await next.end();
      plane.thaw();
      throw error;
    }
    const milliseconds = performance.now() - begin;
    plane.close();
    plane = undefined;
    successor = next;
    return { milliseconds, octets: state.length };
  },
  /** What a frozen plane says to `calls`, each a method with arguments. */
  whileFrozen(calls) {
    plane.freeze();
    try {
      return calls.map(([method, ...args]) => {
        try {
          plane[method](...args);
          return 'done';
        } catch (error) {
          return error.message;
        }
      });
    } finally {
      plane.thaw();
    }
  },
  icmpEcho,

  /** A UDP socket that remembers what it receives. */
  async udpOpen(address, port) {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
    const received = [];
    socket.on('message', (data, from) => received.push({ data: Uint8Array.from(data), port: from.port }));
    await new Promise((resolve, reject) => socket.once('error', reject).bind(port, address, resolve));
    try {
      socket.setRecvBufferSize(4 << 20);
    } catch {}
    sockets.set(socket.address().port, { socket, received });
    return socket.address().port;
  },
  udpSend(from, data, port, address) {
    return new Promise((resolve, reject) =>
      sockets.get(from).socket.send(data, port, address, (error) => (error ? reject(error) : resolve())),
    );
  },
  /** Sends `sizes.length` datagrams of a pattern, each beginning with its index from `first` on; failed sends are returned. */
  async udpSendPatterns(from, sizes, port, address, first = 0) {
    const failed = [];
    for (const [at, size] of sizes.entries()) {
      const i = first + at;
      const data = pattern(size, i);
      if (size >= 4) data.writeUInt32BE(i);
      await methods.udpSend(from, data, port, address).catch((error) => failed.push([size, error.code]));
      if (i % 16 === 15) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return failed;
  },
  udpTake(port) {
    return sockets.get(port).received.splice(0);
  },
  udpCount: (port) => sockets.get(port).received.length,
  /** How many received datagrams are exactly what udpSendPatterns sent, in how many distinct indices, in order? */
  udpVerify(port) {
    const seen = new Set();
    let intact = 0;
    let ordered = true;
    let last = -1;
    for (const { data } of sockets.get(port).received.splice(0)) {
      const buffer = Buffer.from(data);
      if (buffer.length < 4) continue;
      const i = buffer.readUInt32BE(0);
      const expected = pattern(buffer.length, i);
      expected.writeUInt32BE(i);
      if (!expected.equals(buffer)) continue;
      intact += 1;
      seen.add(i);
      if (i < last) ordered = false;
      last = i;
    }
    return { intact, distinct: seen.size, ordered };
  },

  /** Listens on TCP; every connection is answered with the SHA-256 of what it sent. */
  async tcpListen(address, port) {
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      const hash = createHash('sha256');
      socket.on('data', (data) => hash.update(data));
      socket.on('end', () => socket.end(hash.digest('hex')));
      socket.on('error', () => {});
    });
    servers.push(server);
    await new Promise((resolve, reject) => server.once('error', reject).listen(port, address, resolve));
  },
  /** Sends `size` octets; resolves with whether the answer was their hash. */
  tcpSend(address, port, size, seed) {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: address, port });
      const block = pattern(Math.min(size, 1 << 20), seed);
      const hash = createHash('sha256');
      let left = size;
      let answer = '';
      const more = () => {
        while (left > 0) {
          const piece = block.subarray(0, Math.min(left, block.length));
          left -= piece.length;
          hash.update(piece);
          if (!socket.write(piece)) return;
        }
        socket.end();
      };
      socket.on('connect', more);
      socket.on('drain', more);
      socket.on('data', (data) => {
        answer += data;
      });
      socket.on('error', reject);
      socket.on('close', () => resolve(answer === hash.digest('hex')));
    });
  },
};

process.on('message', async ({ id, method, args }) => {
  if (successor !== undefined) {
    successor.child.send({ id, method, args });
    return;
  }
  try {
    const value = await (methods[method] ?? ((...rest) => plane[method](...rest)))(...args);
    process.send({ id, value });
  } catch (error) {
    process.send({ id, error: { message: error.message, code: error.code, name: error.name } });
  }
});
process.on('disconnect', () => process.exit(0));
