// Traffic for the tunnel test, run inside the namespaces of its two sites.
//
//   node traffic.mjs serve ADDRESS PORT              echoes TCP and UDP until killed
//   node traffic.mjs tcp ADDRESS PORT OCTETS         sends, compares the echo, prints one JSON line
//   node traffic.mjs udp ADDRESS PORT COUNT SIZE     sends numbered datagrams, prints how many echoes were true
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const [mode, address, port, ...rest] = process.argv.slice(2);

if (mode === 'serve') serve();
else if (mode === 'tcp') tcp(Number(rest[0]));
else if (mode === 'udp') udp(Number(rest[0]), Number(rest[1]));
else throw new Error(`no such mode: ${mode}`);

function serve() {
  const server = createServer((stream) => stream.on('error', () => {}).pipe(stream));
  const socket = createSocket('udp4');
  socket.on('message', (datagram, from) => socket.send(datagram, from.port, from.address, () => {}));
  socket.bind(Number(port), address, () => {
    server.listen(Number(port), address, () => console.log('{"serving":true}'));
  });
}

function tcp(octets) {
  const payload = Buffer.alloc(octets);
  for (let at = 0; at < octets; at++) payload[at] = (at * 7 + (at >> 8) * 13) & 255;
  const came = createHash('sha256');
  let count = 0;
  const began = performance.now();
  const stream = connect(Number(port), address, () => stream.end(payload));
  stream.setTimeout(15_000, () => finish({ error: 'silence' }));
  stream.on('data', (chunk) => {
    came.update(chunk);
    count += chunk.length;
  });
  stream.on('error', (error) => finish({ error: error.message }));
  stream.on('end', () => {
    const same = came.digest('hex') === createHash('sha256').update(payload).digest('hex');
    finish({ count, same, ms: Math.round(performance.now() - began) });
  });
}

function udp(count, size) {
  const socket = createSocket('udp4');
  const missing = new Set(Array.from({ length: count }, (_, number) => number));
  let wrong = 0;
  let next = 0;
  socket.on('message', (datagram) => {
    const number = datagram.readUInt32BE(0);
    if (datagram.equals(numbered(number, size))) missing.delete(number);
    else wrong++;
    if (missing.size === 0) finish({ count, missing: 0, wrong });
  });
  // Paced: the tunnel is under test, not the socket buffers.
  const pace = setInterval(() => {
    for (let burst = 0; burst < 5 && next < count; burst++) {
      socket.send(numbered(next++, size), Number(port), address);
    }
    if (next === count) clearInterval(pace);
  }, 2);
  setTimeout(() => finish({ count, missing: missing.size, wrong }), 10_000).unref();
}

function numbered(number, size) {
  const datagram = Buffer.alloc(size, number & 255);
  datagram.writeUInt32BE(number, 0);
  return datagram;
}

function finish(result) {
  console.log(JSON.stringify(result));
  process.exit(0);
}
