// One data plane on the addon, as plane_host.cc is one on the library: same arguments, same answers.
import { openNativePlane } from '../../dist/plane/native-plane.js';
import { OFFLOADS } from '../../dist/plane/stats.js';

const PEER = 3;
const PORTS = { a: 4501, b: 4502 };
const AEADS = ['aes-128-gcm', 'aes-256-gcm', 'chacha20-poly1305'];
const SESSIONS = 4;

const given = Object.fromEntries(process.argv.slice(2).map((word) => word.split('=')));
const args = {
  side: 'a',
  device: 'soak0',
  mtu: 1400,
  pathMtu: 1472,
  disable: 0,
  aead: 0,
  ids: 1,
  packs: 1,
  lanes: 1,
  churn: 0,
  ...given,
};
const far = args.side === 'a' ? 'b' : 'a';
const path = { remote: { address: args.remote, port: PORTS[far] }, local: undefined };
let disabled = 0;

const plane = openNativePlane({
  device: { name: args.device, mtu: Number(args.mtu) },
  listen: [{ address: undefined, port: PORTS[args.side] }],
  lanes: Number(args.lanes),
  crypto: 'auto',
  fwMark: undefined,
  disable: OFFLOADS.filter((_, i) => (Number(args.disable) & (1 << i)) !== 0),
  realtime: false,
  onEvent(event) {
    if (event.kind === 'offload-disabled') disabled += 1;
  },
});

const options = { dscp: 'copy', ecn: true, rateLimit: undefined, clampMss: true };
const routes = [
  { prefix: { address: '0.0.0.0', length: 0 }, outbound: PEER, inbound: [PEER] },
  { prefix: { address: '::', length: 0 }, outbound: PEER, inbound: [PEER] },
];

function keys(fill) {
  const aead = AEADS[Number(args.aead)];
  const iv = aead === 'chacha20-poly1305' ? 12 : 4;
  return { aead, key: new Uint8Array(aead === 'aes-128-gcm' ? 16 : 32).fill(fill), iv: new Uint8Array(iv).fill(9) };
}

plane.setPeer(PEER, options);
plane.setRoutes(routes);
for (let slot = 1; slot <= SESSIONS; slot++) {
  const id = Number(args.ids) !== 0 ? Uint8Array.of(0, 0, slot, 1, 2, 3, 4, 5) : new Uint8Array();
  const [mine, theirs] = args.side === 'a' ? [slot, slot + 100] : [slot + 100, slot];
  plane.install({
    slot,
    peer: PEER,
    epoch: 1,
    read: keys(theirs),
    write: keys(mine),
    nextWrite: 1,
    accepted: [0],
    ourConnectionId: id,
    peerConnectionId: id,
    path,
    pathMtu: Number(args.pathMtu),
    packs: Number(args.packs) !== 0,
  });
}
plane.activate(PEER, 1);

if (Number(args.churn) !== 0) {
  let turn = 0;
  setInterval(() => {
    plane.activate(PEER, 1 + (turn % SESSIONS));
    if (turn % 3 === 0) plane.setRoutes(routes);
    if (turn % 4 === 0) plane.setPeer(PEER, { ...options, rateLimit: turn % 8 === 0 ? 1e12 : undefined });
    if (turn % 5 === 0) plane.move(1 + (Math.floor(turn / 5) % SESSIONS), path);
    plane.stats();
    turn += 1;
  }, 3);
}

function nonZero(counters) {
  return Object.fromEntries(Object.entries(counters).flatMap(([name, n]) => (n === 0n ? [] : [[name, Number(n)]])));
}

function sumDrops(stats, way) {
  const sum = { ...stats.drops[way] };
  for (const peer of stats.peers.values()) for (const [name, n] of Object.entries(peer.drops[way])) sum[name] += n;
  return sum;
}

function report() {
  const stats = plane.stats();
  const total = (values) => [...values].reduce((sum, n) => sum + n, 0n);
  const peers = [...stats.peers.values()];
  const of = (name) => Number(total(peers.map((peer) => peer[name])));
  const [dropsIn, dropsOut] = [sumDrops(stats, 'in'), sumDrops(stats, 'out')];
  const unattributed = total(Object.values(stats.unattributed));
  const arrived = stats.udp.receiveDatagrams + stats.udp.extraRecords;
  return {
    balanceIn:
      Number(arrived - stats.handedUp - stats.control - unattributed - total(Object.values(dropsIn))) -
      of('receivePackets'),
    balanceOut: Number(stats.tun.readPackets - total(Object.values(dropsOut))) - of('transmitPackets'),
    unattributed: Number(unattributed),
    overflows: Number(stats.udp.receiveOverflows),
    readPackets: Number(stats.tun.readPackets),
    readCalls: Number(stats.tun.readCalls),
    writePackets: Number(stats.tun.writePackets),
    writeCalls: Number(stats.tun.writeCalls),
    receivePackets: of('receivePackets'),
    transmitPackets: of('transmitPackets'),
    gaps: of('sequenceGaps'),
    reordered: of('reordered'),
    duplicates: of('duplicates'),
    dropsIn: nonZero(dropsIn),
    dropsOut: nonZero(dropsOut),
    offloads: plane.features.offloads.reduce((set, offload) => set | (1 << OFFLOADS.indexOf(offload)), 0),
    disabled,
  };
}

process.stdout.write('ready\n');
process.stdin.resume().on('end', () => {
  process.stdout.write(`${JSON.stringify(report())}\n`, () => {
    plane.close();
    process.exit(0);
  });
});
